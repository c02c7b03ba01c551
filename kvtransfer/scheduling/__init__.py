"""Decides: which chunk is where, what is loaded, saved, put and evicted. Pure; no device code."""
