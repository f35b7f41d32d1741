"""The loop, strategies, checkpoints, and the Ray Train trainer."""
