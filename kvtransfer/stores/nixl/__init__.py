"""Keeps entries as files in a folder, which NIXL reads and writes."""
