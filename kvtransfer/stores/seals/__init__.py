"""Binds payloads to their records by a checksum, a keyed hash or encryption."""
