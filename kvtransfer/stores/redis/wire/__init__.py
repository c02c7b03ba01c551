"""Executes commands on redis-py's connections, and reads payloads straight into memory."""
