"""kvtransfer in vLLM: the only package that imports vllm."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvtransfer.connector.vllm.connector import KVTransferConnector


def load_connector() -> type[KVTransferConnector]:
    """The class that vLLM makes instances of; imports vLLM.

    Raises:
        ConfigError: this version of vLLM is too old.
    """
    import vllm

    from kvtransfer.connector.vllm.vllm_version import refuse_older

    # In an older one the import below would fail, and say less.
    refuse_older(vllm.__version__)
    from kvtransfer.connector.vllm.connector import KVTransferConnector

    return KVTransferConnector
