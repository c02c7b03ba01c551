"""Engines with vLLM's own offloading, and our stores behind it."""

from __future__ import annotations

from typing import Any

from tests.connector.engine_process import Setup

READ_BYTES = "vllm:kv_offload_tiering_read_bytes"
FAILED_LOADS = "vllm:kv_offload_tiering_promotion_job_failures"
BLOCK_TOKENS = 32
_PATIENT = {"lookup_timeout_ms": 30_000, "remote_timeout_ms": 20_000, "load_timeout_ms": 60_000}
"""On a busy machine an answer that comes late would be a miss."""


def offloading(
    model: str,
    url: str | None,
    *,
    options: dict[str, Any] | None = None,
    extra: dict[str, Any] | None = None,
    **settings: Any,
) -> Setup:
    """An engine whose offloading has a tier of ours at ``url``.

    Args:
        model: its folder.
        url: None where the tier has no setting of that name.
        options: arguments of ``LLM``.
        extra: of vLLM's own settings of its offloading.
        settings: the tier's own; they go before those that all tests share.
    """
    tier = {
        "type": "KVTransferTier",
        "module_path": "kvtransfer.connector.vllm.offloading.tier",
        **({} if url is None else {"remote_url": url}),
        **_PATIENT,
        **settings,
    }
    own = {
        "spec_name": "OnCpuSpec",
        "spec_module_path": "tests.connector.offloading_on_cpu",
        "cpu_bytes_to_use": 8 << 20,
        "secondary_tiers": [tier],
        **(extra or {}),
    }
    transfer = {
        "kv_connector": "OffloadingConnector",
        "kv_role": "kv_both",
        "kv_connector_extra_config": own,
    }
    return Setup(model, transfer, options or {})
