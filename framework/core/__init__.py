"""What every room stands on: errors, storage, artifacts, settings, random numbers, ranks, Ray's start."""
