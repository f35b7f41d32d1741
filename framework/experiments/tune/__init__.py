"""Search of settings with Ray Tune."""
