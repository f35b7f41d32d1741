"""Metrics with an explicit empty-mask policy, per-case tables, confidence intervals, pictures and the HTML report."""
