"""Tells other processes which token sequences were saved here, and learns what they have saved."""
