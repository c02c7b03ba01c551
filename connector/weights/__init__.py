"""Which weights a model holds: read by the workers, agreed on by the scheduler's side."""
