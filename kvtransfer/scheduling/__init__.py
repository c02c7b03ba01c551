"""Decides which chunk is where and what is loaded, saved, put and evicted; no device code."""
