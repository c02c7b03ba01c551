"""What traces of requests show of their loads."""
