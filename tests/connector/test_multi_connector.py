"""Beside other connectors in vLLM's MultiConnector: none takes another's answer for its own."""

from __future__ import annotations

import pytest

from tests.connector.engine_process import Request, Setup
from tests.connector.inputs import CHUNK_TOKENS, connected, prompt

pytestmark = pytest.mark.vllm

REQUESTS = [Request(prompt(tokens, seed=tokens), answer_tokens=24) for tokens in (300, 460, 150)]
REQUESTS += [Request(prompt(tokens, seed=tokens), answer_tokens=3) for tokens in (200, 331, 410)]
# Few enough that blocks which were given away are written again soon.
FEW_BLOCKS = {"num_gpu_blocks_override": 56, "max_model_len": 512}


def ours(url, role="kv_both", **settings):
    return connected("", url, role=role, **settings).transfer


def sending(*, loads=False):
    return {
        "kv_connector": "SendingConnector",
        "kv_connector_module_path": "tests.connector.sending_connector",
        "kv_role": "kv_both",
        "kv_connector_extra_config": {"loads": loads},
    }


OFFLOADING = {
    "kv_connector": "OffloadingConnector",
    "kv_role": "kv_both",
    "kv_connector_extra_config": {
        "spec_name": "OnCpuSpec",
        "spec_module_path": "tests.connector.offloading_on_cpu",
        "cpu_bytes_to_use": 4 << 20,
    },
}


def together(model, *connectors, options=None):
    transfer = {
        "kv_connector": "MultiConnector",
        "kv_role": "kv_both",
        "kv_load_failure_policy": "recompute",
        "kv_connector_extra_config": {"connectors": list(connectors)},
    }
    return Setup(model, transfer, {**FEW_BLOCKS, **(options or {})})


@pytest.fixture(scope="module")
def right(plain):
    return plain.generate(*REQUESTS).answers


def in_both_orders(*connectors):
    return [connectors, connectors[::-1]]


@pytest.mark.parametrize("we_are_first", [True, False])
@pytest.mark.parametrize("loads", [False, True])
def test_beside_one_that_holds_blocks_while_it_sends(
    v1_engines, model, server, right, we_are_first, loads
):
    connectors = in_both_orders(ours(server.url), sending(loads=loads))[not we_are_first]
    with v1_engines.start(together(model, *connectors)) as engine:
        for round_ in range(3):
            outcome = engine.generate(*REQUESTS)
            assert outcome.answers == right
            assert (outcome.external_tokens > 0) == (round_ > 0)
            assert engine.reset(), "blocks were lost"
        if loads and not we_are_first:
            counted = engine.counted()
            assert counted["host_hit_tokens"] + counted["store_hit_tokens"] == 0


@pytest.mark.parametrize("we_are_first", [True, False])
def test_beside_vllms_own_offloading(v1_engines, model, server, entries, right, we_are_first):
    connectors = in_both_orders(ours(server.url), OFFLOADING)[not we_are_first]
    with v1_engines.start(together(model, *connectors)) as engine:
        for round_ in range(3):
            outcome = engine.generate(*REQUESTS)
            assert outcome.answers == right
            assert (outcome.external_tokens > 0) == (round_ > 0)
            assert engine.reset(), "blocks were lost"
    assert len(entries.keys()) == sum(
        (len(request.prompt_ids) + request.answer_tokens - 1) // CHUNK_TOKENS
        for request in REQUESTS
    )


def test_two_of_ours_with_settings_of_their_own(v1_engines, model, server, tmp_path, right):
    shared = f"disk://{tmp_path}"
    pair = [ours(server.url), ours(shared, chunk_size=32, local_cpu=False)]
    with v1_engines.start(together(model, *pair)) as engine:
        assert engine.generate(*REQUESTS).answers == right
        assert engine.reset(), "blocks were lost"
    for url, role in ((server.url, {}), (shared, {"chunk_size": 32})):
        with v1_engines.start(connected(model, url, **role)) as engine:
            outcome = engine.generate(*REQUESTS)
            assert outcome.answers == right
            assert outcome.external_tokens > 0
    for connectors in in_both_orders(*pair):
        with v1_engines.start(together(model, *connectors)) as engine:
            outcome = engine.generate(*REQUESTS)
            assert outcome.answers == right
            assert outcome.external_tokens > 0
            assert engine.reset(), "blocks were lost"
