"""Shows loads in vLLM's traces."""
