"""One file per paper: losses and state, nothing else."""
