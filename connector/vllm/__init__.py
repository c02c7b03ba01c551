"""Connects vLLM to kvtransfer; no other package imports vllm."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvtransfer.connector.vllm.connector import KVTransferConnector


def load_connector() -> type[KVTransferConnector]:
    """Import vLLM and return the connector class that it makes instances of.

    Raises:
        ConfigError: this version of vLLM is too old.
    """
    import vllm

    from kvtransfer.connector.vllm.vllm_version import refuse_older

    # With an older vLLM the import below would fail with a message that says less.
    refuse_older(vllm.__version__)
    from kvtransfer.connector.vllm.connector import KVTransferConnector

    return KVTransferConnector
