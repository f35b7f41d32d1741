"""Weak masks: simulated, or drawn by people."""
