"""Serves vLLM's own offloading: our stores behind its host memory, and our eviction policy in it.

Both are plugged in by vLLM's configuration alone, see ``docs/offloading.md``. A *row* is the line of
bytes that vLLM's host memory has for one of its chunks; the parts of all workers lie in it.
"""
