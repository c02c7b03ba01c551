"""When requests get their keys, which weights the keys name, and when a request loses them."""
