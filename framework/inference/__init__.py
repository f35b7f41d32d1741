"""A finished model as a predictor."""
