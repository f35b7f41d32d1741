"""Stages one after the other."""
