"""Keeps entries in Mooncake Store: memory that machines pool behind one master."""
