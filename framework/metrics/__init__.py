"""Metrics, one class each with a line in `registry.py`, and their bootstrap intervals."""
