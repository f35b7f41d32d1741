"""Search of settings with Ray Tune: the space, the record of trials, and the trials themselves."""
