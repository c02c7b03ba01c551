"""What loads and prefill take, learned from what was seen, and which of the two is sooner. Pure."""
