"""Confident seeds from maps."""
