"""What an engine's requests load and save in each step, for any engine."""
