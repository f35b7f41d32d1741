"""A package that adds to scantseg one of each kind, without an edit there."""
