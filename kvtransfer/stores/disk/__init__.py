"""Chunks as files in a folder."""
