"""What could be loaded for a request, and the jobs that load it."""
