"""Takes the pictures of the documentation from real parts: ``make pictures``."""
