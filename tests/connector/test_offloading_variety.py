"""vLLM's own offloading with our stores behind it, of other models and other versions of vLLM."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest

from tests.connector.engine_process import Request
from tests.connector.engines import Engines
from tests.connector.inputs import prompt
from tests.connector.models.kinds import GEMMA3, GRANITE4
from tests.connector.models.tiny import TinyModel
from tests.connector.offloading_setups import BLOCK_TOKENS, READ_BYTES, offloading
from tests.connector.vllm_variants import OTHER_VERSIONS, V1

pytestmark = [pytest.mark.vllm, pytest.mark.cpu]

LONG = Request(prompt(600, seed=1))
POLICY = {
    "eviction_policy": "LearnedPolicy",
    "cache_policy_module_path": "kvtransfer.connector.vllm.offloading.policy",
    "cpu_bytes_to_use": 5 << 18,  # forty blocks, of which half may wait to be put
}


@pytest.mark.parametrize("kind", [GEMMA3, GRANITE4], ids=lambda kind: kind.name)
def test_windows_and_states_are_restored(v1_engines, kind, server, tmp_path):
    tiny = TinyModel.write(kind, tmp_path)
    setup = replace(
        offloading(tiny.folder, server.url, options=tiny.options, weights_name="random"),
        preparations=tiny.preparations,
    )
    talk = Request(prompt(1200, seed=1))
    with v1_engines.start(replace(setup, transfer=None)) as engine:
        right = engine.generate(talk)
    with v1_engines.start(setup) as storing:
        stored = storing.generate(talk)
    with v1_engines.start(setup) as restoring:
        restored = restoring.generate(talk)
        assert restoring.metric(READ_BYTES) > 0
    assert (stored.external_tokens, restored.external_tokens > 0) == (0, True)
    assert stored.answers == restored.answers == right.answers


@pytest.fixture(params=OTHER_VERSIONS, ids=lambda folder: folder.name)
def others(request, tmp_path):
    with closing(Engines(tmp_path, V1.of(request.param))) as running:
        yield running


def test_other_versions_of_vllm_restore_and_evict(others, model, server, entries, plain):
    setup = offloading(model, server.url, extra=POLICY)
    with others.start(setup) as storing:
        stored = storing.generate(LONG)
        entries.await_count(600 // BLOCK_TOKENS)
    with others.start(setup) as restoring:
        for seed in (1, 2, 3, 1):
            request = Request(prompt(600, seed=seed))
            assert restoring.generate(request).answers == plain.generate(request).answers
            assert restoring.reset(), "blocks were lost"
        assert restoring.metric(READ_BYTES) > 0
    assert stored.answers == plain.generate(LONG).answers
