"""A model's scores on a split: per-case tables, summaries with intervals, pictures."""
