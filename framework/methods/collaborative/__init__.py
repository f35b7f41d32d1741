"""Lesions and grades that teach each other (Zhou et al. 2019): three stages."""
