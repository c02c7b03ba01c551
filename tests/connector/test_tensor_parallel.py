"""Two ranks: each saves and restores its own shard, and both agree on what is there."""

from __future__ import annotations

import pytest

from tests.connector.engine_process import Request
from tests.connector.inputs import connected, prompt

pytestmark = pytest.mark.vllm

REQUESTS = [Request(prompt(600, seed=1)), Request(prompt(640, seed=2), answer_tokens=70)]
TWO_RANKS = {"tensor_parallel_size": 2}


def test_two_ranks_restore_what_two_ranks_saved(v1_engines, model, server, entries, plain):
    right = plain.generate(*REQUESTS).answers
    setup = connected(model, server.url, options=TWO_RANKS)
    with v1_engines.start(setup) as saving:
        assert saving.generate(*REQUESTS).answers == right

    ranks = [key.split(b"@")[1:3] for key in set(entries.keys())]
    assert sorted(ranks) == [[b"2", b"0"]] * 20 + [[b"2", b"1"]] * 20

    with v1_engines.start(setup) as restoring:
        outcome = restoring.generate(*REQUESTS)
    assert outcome.external_tokens == 576 + 640
    assert outcome.answers == right


def test_one_and_two_ranks_restore_what_the_other_saved(v1_engines, model, server, plain):
    shared = {"weights_name": "tiny", "tensor_parallel_shards": 2}
    one = connected(model, server.url, **shared)
    two = connected(model, server.url, options=TWO_RANKS, **shared)
    of_one, of_two = REQUESTS
    right = plain.generate(*REQUESTS).answers
    with v1_engines.start(one) as saving:
        saving.generate(of_one)
    with v1_engines.start(two) as both:
        restored = both.generate(of_one)
        assert restored.external_tokens == 576
        assert restored.answers == right[:1]
        both.generate(of_two)
    with v1_engines.start(one) as restoring:
        restored = restoring.generate(of_two)
    assert restored.external_tokens == 640
    assert restored.answers == right[1:]
