"""Says what the bytes of a chunk are, where they lie in blocks, and which key they have."""
