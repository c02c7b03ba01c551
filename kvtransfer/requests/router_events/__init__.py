"""What routers are told of the blocks that host memory and stores hold."""
