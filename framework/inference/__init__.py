"""Predictions: the predictor, and the Ray Data job that pseudo-labels a corpus."""
