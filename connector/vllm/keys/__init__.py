"""Finds out what the keys of vLLM's requests cover besides their tokens."""
