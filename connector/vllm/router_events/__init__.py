"""What host memory and stores hold, in vLLM's own stream of KV events."""
