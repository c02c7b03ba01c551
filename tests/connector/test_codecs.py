"""Engines whose chunks hold quantised numbers share a store with exact ones, and never meet them."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.connector.blend_exactness import distance, request
from tests.connector.engine_process import Request
from tests.connector.inputs import CHUNK_TOKENS, connected, prompt
from tests.connector.soak_codecs import ask, running
from tests.connector.vllm_variants import V2

pytestmark = pytest.mark.vllm

REQUEST = Request(prompt(600, seed=1), with_logprobs=True)  # 9 chunks and 24 tokens
HELD = 9 * CHUNK_TOKENS
NEAR = {"int8": 0.1, "int5": 0.5, "int4": 0.8, "cachegen": 0.8}
"""How far log-probabilities may be from those of exact numbers."""
SEED = 20261129


def apart(ours, right):
    """The largest difference of log-probabilities as long as the answers are the same."""
    answers = zip(ours.answers[0], right.answers[0], strict=True)
    same = next((i for i, (a, b) in enumerate(answers) if a != b), len(right.answers[0]))
    pairs = zip(ours.logprobs[0][:same], right.logprobs[0][:same], strict=True)
    return max((abs(a - b) for a, b in pairs), default=0.0)


@pytest.mark.parametrize("codec", NEAR)
def test_what_one_engine_has_saved_another_process_reads_nearly(
    v1_engines, model, server, entries, plain, codec
):
    with v1_engines.start(connected(model, server.url)) as engine:
        engine.generate(REQUEST)
    entries.await_count(9)
    exact_bytes = sum(map(len, entries.payloads()))
    with v1_engines.start(connected(model, server.url, remote_serde=codec)) as engine:
        assert engine.generate(REQUEST).external_tokens == 0, "no exact entry is one of its own"
    entries.await_count(18)
    assert sum(map(len, entries.payloads())) - exact_bytes < exact_bytes / 3  # of fp32
    with v1_engines.start(connected(model, server.url, remote_serde=codec)) as engine:
        outcome = engine.generate(REQUEST)
        assert outcome.external_tokens == HELD
        assert 0 < apart(outcome, plain.generate(REQUEST)) < NEAR[codec]
        assert engine.counted()["unverified_chunks"] == 0


@pytest.mark.parametrize("engines", [V2], indirect=True)
def test_an_exact_engine_beside_others_stays_exact(engines, model, plain):
    """``make soak`` has a thousand requests; vLLM's other runner is in the tests above."""
    with running(engines, model, ("naive", "int4")) as asked:
        seen = sum((ask(asked, plain, SEED, number) for number in range(40)), Counter())
    assert seen["naive restored tokens"]
    assert seen["int4 restored tokens"]


def test_passages_of_quantised_chunks_are_moved_too(v1_engines, model):
    ids = prompt(300, seed=30)
    moved = request(prompt(40, seed=31) + ids, first=16)
    outcomes = []
    for codec in ("naive", "int8"):
        with v1_engines.start(connected(model, None, remote_serde=codec)) as engine:
            engine.generate(request(ids))
            assert engine.reset()
            outcomes.append(engine.generate(moved))
    exact, nearly = outcomes
    assert exact.blends == nearly.blends
    assert nearly.blends[0]["reused_tokens"] == 256 - 16
    assert 0 < distance(nearly, exact) < NEAR["int8"]
