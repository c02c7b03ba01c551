"""Keeps entries in InfiniStore: the memory of one server, reached over RDMA."""
