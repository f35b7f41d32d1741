"""The random walk over a corpus."""
