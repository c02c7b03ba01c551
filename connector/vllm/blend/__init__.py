"""Reuses passages wherever they stand in a prompt of vLLM."""
