"""The command `scantseg`."""
