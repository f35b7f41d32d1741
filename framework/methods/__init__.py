"""One file or folder per paper: losses and state, nothing else."""
