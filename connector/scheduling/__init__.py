"""Decides what vLLM's requests load and save, in each of its steps."""
