"""Makes chunks of floating-point numbers shorter, bit for bit the same when they come back."""
