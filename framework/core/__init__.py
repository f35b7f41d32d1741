"""What every room stands on: errors, storage, artifacts, configuration files, random numbers, ranks, Ray's start."""
