"""kvtransfer in vLLM; vLLM itself is imported when the connector is asked for, not before."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvtransfer.connector.connector import KVTransferConnector

__all__ = ["KVTransferConnector"]


def __getattr__(name: str) -> type[KVTransferConnector]:
    if name != "KVTransferConnector":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import vllm

    from kvtransfer.connector.vllm_version import refuse_older

    # In an older one the import below would fail, and say less.
    refuse_older(vllm.__version__)
    from kvtransfer.connector.connector import KVTransferConnector

    return KVTransferConnector
