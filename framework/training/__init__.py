"""The loop, strategies, checkpoints, and the Ray Train driver."""
