"""vLLM's own offloading with our stores behind it, on real engines and a real Redis."""

from __future__ import annotations

import pytest

from kvtransfer.stores.embedded.server import EmbeddedServer
from tests.connector.engine_process import Request, Setup
from tests.connector.engines import EngineError
from tests.connector.inputs import prompt

pytestmark = [pytest.mark.vllm, pytest.mark.cpu]

TIER = "kvtransfer.connector.vllm.offloading.tier"
POLICY = "kvtransfer.connector.vllm.offloading.policy"
READ_BYTES = "vllm:kv_offload_tiering_read_bytes"
FAILURES = "vllm:kv_offload_tiering_promotion_job_failures"
BLOCK_TOKENS = 32
LONG = Request(prompt(600, seed=1))
BLOCKS = 600 // BLOCK_TOKENS


def offloading(model, url, *, options=None, extra=None, **settings):
    """vLLM's own offloading, with a tier of ours at ``url``."""
    tier = {"type": "KVTransferTier", "module_path": TIER, "remote_url": url, **settings}
    transfer = {
        "kv_connector": "OffloadingConnector",
        "kv_role": "kv_both",
        "kv_connector_extra_config": {
            "spec_name": "OnCpuSpec",
            "spec_module_path": "tests.connector.offloading_on_cpu",
            "cpu_bytes_to_use": 8 << 20,
            "secondary_tiers": [tier],
            **(extra or {}),
        },
    }
    return Setup(model, transfer, options or {})


def test_what_one_process_has_stored_another_restores(engines, model, server, entries, plain):
    with engines.start(offloading(model, server.url)) as storing:
        stored = storing.generate(LONG)
        entries.await_count(BLOCKS)
    with engines.start(offloading(model, server.url)) as restoring:
        restored = restoring.generate(LONG)
        assert restoring.metric(READ_BYTES) > 0
    assert (stored.external_tokens, restored.external_tokens) == (0, BLOCKS * BLOCK_TOKENS)
    assert stored.answers == restored.answers == plain.generate(LONG).answers
