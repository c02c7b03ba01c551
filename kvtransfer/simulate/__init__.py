"""Simulates host memory, disk and remote store on recorded requests."""
