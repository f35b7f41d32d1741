"""Jobs that make labels for a corpus: pseudo masks, maps of evidence, seeds, the walk, weak masks."""
