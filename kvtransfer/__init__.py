"""A KV cache layer for vLLM: device memory, pinned host memory, disk and Redis are one cache."""

from kvtransfer.config import TransferConfig
from kvtransfer.errors import ConfigError, KVTransferError, StoreError
from kvtransfer.keys import chunk_keys
from kvtransfer.paged import PagedCaches
from kvtransfer.transfer import KVTransfer, Transfer

__all__ = [
    "ConfigError",
    "KVTransfer",
    "KVTransferError",
    "PagedCaches",
    "StoreError",
    "Transfer",
    "TransferConfig",
    "chunk_keys",
]
