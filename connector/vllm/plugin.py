"""Called through the entry point ``vllm.general_plugins``: makes the connector known to vLLM.

It also has configurations checked early and workers watched, and hands vLLM what we log.
"""

from __future__ import annotations

import logging

NAME = "KVTransferConnector"


def register() -> None:
    """Called once in each of vLLM's processes; again is harmless, and nothing heavy is imported."""
    from vllm.distributed.kv_transfer.kv_connector.factory import KVConnectorFactory

    from kvtransfer.connector.vllm.early_check import check_configurations
    from kvtransfer.connector.vllm.weights.worker_watch import watch_workers

    log_as_vllm()
    check_configurations(NAME)
    watch_workers()
    if NAME not in KVConnectorFactory._registry:
        KVConnectorFactory.register_connector(NAME, "kvtransfer.connector", NAME)


def log_as_vllm() -> None:
    """Our lines look as vLLM's, and go where its lines go, unless somebody has said where."""
    ours = logging.getLogger("kvtransfer")
    if not ours.handlers:
        ours.parent = logging.getLogger("vllm")
