"""What vLLM keeps in a page of its KV cache, by cache dtype and by attention backend."""
