"""One chunk in one file: a payload, padded to sectors, and its record."""
