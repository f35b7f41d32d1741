"""Recipes trained over seeds and set side by side."""
