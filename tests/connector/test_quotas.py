"""Tenants of a real engine share its host memory by a quotas file."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvtransfer.chunks.keys import tenant_of_salt
from tests.connector.conversation import CHUNK_BYTES
from tests.connector.engine_process import Request
from tests.connector.engines import EngineError
from tests.connector.inputs import connected, prompt

pytestmark = pytest.mark.vllm

MINE = Request(prompt(200, seed=5), cache_salt="mine")
"""Three chunks and a rest."""
GIB = 2**30


def setup(model, file, text):
    file.write_text(text)
    room = {"max_local_cpu_size": 12 * CHUNK_BYTES / GIB}
    return connected(model, None, quotas_file=str(file), **room)


def test_a_tenant_is_hit_beside_one_that_writes_as_fast_as_it_can(
    v1_engines, model, plain, tmp_path
):
    """The quota of the one that floods is less than its share; without it all would be evicted."""
    flood, quota = tenant_of_salt("flood"), 5 * CHUNK_BYTES / GIB
    quotas = f"host: {{tenants: {{'{flood}': {quota}}}}}"
    with v1_engines.start(setup(model, tmp_path / "quotas.yaml", quotas)) as engine:
        engine.generate(MINE)
        for number in range(6):
            engine.generate(Request(prompt(300, seed=50 + number), cache_salt="flood"))
        assert engine.reset()
        outcome = engine.generate(MINE)
        counted = engine.counted()
        assert "tenant_host_bytes" in engine.seen()
    assert outcome.external_tokens == 192
    assert outcome.answers == plain.generate(MINE).answers
    saved = counted["saved_tokens"] // 64
    assert counted["quota_evicted_chunks"] == counted["evicted_chunks"] > 0
    assert saved - counted["evicted_chunks"] == 3 + 5  # what both hold at the end


def test_shares_alone_keep_what_is_one_tenants(v1_engines, model, plain, tmp_path):
    with v1_engines.start(
        setup(model, tmp_path / "quotas.yaml", "host: {each_tenant: unlimited}")
    ) as engine:
        engine.generate(MINE)
        for number in range(4):
            others = [Request(prompt(300, seed=60 + 2 * number + i)) for i in (0, 1)]
            engine.generate(others[0], replace(others[1], cache_salt="flood"))
        assert engine.reset()
        outcome = engine.generate(MINE)
        counted = engine.counted()
    assert outcome.external_tokens == 192
    assert outcome.answers == plain.generate(MINE).answers
    assert counted["evicted_chunks"] > 0
    assert counted["quota_evicted_chunks"] == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("host: {each_tenants: 2}", "there is no host.each_tenants; known are each_tenant, "),
        ("host: {each_tenant: 0.00001}", "host lets each_tenant hold 1e-05 GiB, less than one "),
    ],
)
def test_what_a_file_cannot_mean_is_refused_at_start(v1_engines, model, tmp_path, text, said):
    with pytest.raises(EngineError, match=said):
        v1_engines.start(setup(model, tmp_path / "quotas.yaml", text))
