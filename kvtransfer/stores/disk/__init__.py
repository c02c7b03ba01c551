"""Keeps entries as files in a folder."""
