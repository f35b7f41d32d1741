"""Which neighbouring pixels belong together (Ahn et al. 2019)."""
