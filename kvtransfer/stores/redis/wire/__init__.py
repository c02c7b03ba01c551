"""Connections below redis-py's parser: replies go straight into the caller's memory."""
