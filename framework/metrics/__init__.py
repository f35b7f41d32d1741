"""Scores of masks, of overlapping lesions and of answers, and their bootstrap intervals."""
