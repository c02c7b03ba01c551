"""Entry point ``vllm.general_plugins``: makes the connector known to vLLM, and watches workers."""

from __future__ import annotations

NAME = "KVTransferConnector"


def register() -> None:
    """Called once in each of vLLM's processes; again is harmless, and nothing heavy is imported."""
    from vllm.distributed.kv_transfer.kv_connector.factory import KVConnectorFactory

    from .worker_watch import watch_workers

    watch_workers()
    if NAME not in KVConnectorFactory._registry:
        KVConnectorFactory.register_connector(NAME, "kvtransfer.connector", NAME)
