"""What a model keeps in vLLM's caches: groups, formats, and the parts that each worker holds."""
