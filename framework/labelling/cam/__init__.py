"""Class activation maps for a corpus."""
