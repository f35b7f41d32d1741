"""Kinds of file that pictures and masks are imported from: one file each."""
