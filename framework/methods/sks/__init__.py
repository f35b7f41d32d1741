"""A classifier that prompts a segmenter (Chen et al. 2024)."""
