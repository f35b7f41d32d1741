"""A classifier of whole images."""
