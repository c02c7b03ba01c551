"""Reads which weights vLLM's model holds, and notices when they may have changed."""
