"""Makes the connector known to vLLM, which calls ``register`` as one of its general plugins.

It also has configurations checked early and workers watched, and routes our log through vLLM's.
"""

from __future__ import annotations

import logging

NAME = "KVTransferConnector"


def register() -> None:
    """Register the connector in this process of vLLM; may be called again, imports little."""
    from vllm.distributed.kv_transfer.kv_connector.factory import KVConnectorFactory

    from kvtransfer.connector.vllm.early_check import check_configurations
    from kvtransfer.connector.vllm.weights.worker_watch import watch_workers

    log_as_vllm()
    check_configurations(NAME)
    watch_workers()
    if NAME not in KVConnectorFactory._registry:
        KVConnectorFactory.register_connector(NAME, "kvtransfer.connector", NAME)


def log_as_vllm() -> None:
    """Log through vLLM's handlers, unless the user has given our logger one of its own."""
    ours = logging.getLogger("kvtransfer")
    if not ours.handlers:
        ours.parent = logging.getLogger("vllm")
