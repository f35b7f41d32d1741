"""Dynamic co-regularisation and instance indicators (Pan et al. 2022)."""
