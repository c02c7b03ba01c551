"""Runs a whole fleet on one machine, kills parts of it, and counts what its users notice."""
