"""Clusters of Ray: the files that describe them and what is wrong with those, machines, submitted jobs."""
