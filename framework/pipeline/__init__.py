"""Stages, artefacts and lineage."""
