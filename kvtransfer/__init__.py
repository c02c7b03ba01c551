"""A KV cache layer for vLLM: device memory, pinned host memory, disk and Redis are one cache.

The names below are imported when they are first used: vLLM loads this package in each of its
processes, and most of them need nothing of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvtransfer.chunks.keys import chunk_keys
    from kvtransfer.chunks.paged import PagedCaches
    from kvtransfer.config import TransferConfig
    from kvtransfer.errors import ConfigError, KVTransferError, StoreError
    from kvtransfer.handle import Transfer
    from kvtransfer.kernels import Rotation
    from kvtransfer.passage_transfer import PassageTransfer
    from kvtransfer.transfer import KVTransfer

__version__ = "0.2.0"

__all__ = [
    "ConfigError",
    "KVTransfer",
    "KVTransferError",
    "PagedCaches",
    "PassageTransfer",
    "Rotation",
    "StoreError",
    "Transfer",
    "TransferConfig",
    "chunk_keys",
]

_HOMES = {
    "ConfigError": "errors",
    "KVTransfer": "transfer",
    "KVTransferError": "errors",
    "PagedCaches": "chunks.paged",
    "PassageTransfer": "passage_transfer",
    "Rotation": "kernels",
    "StoreError": "errors",
    "Transfer": "handle",
    "TransferConfig": "config",
    "chunk_keys": "chunks.keys",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"kvtransfer.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        text = f"{name} needs torch, which an engine brings; without one: pip install '.[torch]'"
        raise ModuleNotFoundError(text, name="torch") from None


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
