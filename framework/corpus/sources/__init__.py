"""Where a corpus comes from: one file for each layout."""
