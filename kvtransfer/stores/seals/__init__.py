"""What binds a payload to its record: a checksum, a keyed hash or encryption."""
