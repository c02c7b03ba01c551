"""Prefill in one vLLM, decode in another, over one Redis-compatible server."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace

import pytest

from kvtransfer.stores.embedded.server import EmbeddedServer
from tests.connector.engine_process import Request
from tests.connector.engines import Engine, start_together
from tests.connector.entries import Entries
from tests.connector.inputs import CHUNK_TOKENS, connected, prompt

pytestmark = pytest.mark.vllm


@dataclass(frozen=True)
class Split:
    producer: Engine
    consumer: Engine
    entries: Entries

    def prefill(self, *requests):
        """The producer's outcome, once all whole chunks of ``requests`` can be restored."""
        before = len(self.entries.keys())
        outcome = self.producer.generate(*(replace(r, answer_tokens=1) for r in requests))
        self.entries.await_count(before + sum(chunks(request) for request in requests))
        return outcome


def chunks(request):
    return len(request.prompt_ids) // CHUNK_TOKENS


@pytest.fixture(scope="module")
def split(v1_engines, model):
    with EmbeddedServer(64 << 20) as server, closing(Entries(server.url)) as entries:
        producer, consumer = start_together(
            lambda: v1_engines.start(connected(model, server.url, role="kv_producer")),
            lambda: v1_engines.start(connected(model, server.url, role="kv_consumer")),
        )
        with producer, consumer:
            yield Split(producer, consumer, entries)


def test_one_computes_the_prompts_and_the_other_goes_on(split, plain):
    requests = [Request(prompt(n, seed=n), answer_tokens=24) for n in (300, 640, 90)]
    first = split.prefill(*requests)
    stored = split.entries.keys()
    outcome = split.consumer.generate(*requests)
    expected = plain.generate(*requests).answers
    assert outcome.answers == expected
    assert [answer[:1] for answer in expected] == first.answers
    assert (first.external_tokens, outcome.external_tokens) == (0, (4 + 10 + 1) * CHUNK_TOKENS)
    assert split.entries.keys() == stored


def test_the_next_turn_is_computed_whole_and_only_what_is_new_is_saved(split, plain):
    request = Request(prompt(200, seed=11), answer_tokens=70)
    split.prefill(request)
    (answer,) = split.consumer.generate(request).answers
    turn = Request(request.prompt_ids + answer + prompt(40, seed=12))
    stored = split.entries.keys()
    assert split.producer.reset()
    first = split.producer.generate(replace(turn, answer_tokens=1))
    assert (first.external_tokens, first.cached_tokens) == (0, [0])
    split.entries.await_count(len(stored) + chunks(turn) - chunks(request))
    outcome = split.consumer.generate(turn)
    assert outcome.cached_tokens == [chunks(turn) * CHUNK_TOKENS]
    assert outcome.answers == plain.generate(turn).answers
    assert len(split.entries.keys()) == len(stored) + 1


def test_a_producer_that_dies_costs_computation_only(v1_engines, model, server, plain):
    """Whatever had arrived by then is used, the rest is computed."""
    request = Request(prompt(640, seed=13))
    producer = v1_engines.start(connected(model, server.url, role="kv_producer"))
    producer.generate(replace(request, answer_tokens=1))
    producer.kill()
    with v1_engines.start(connected(model, server.url, role="kv_consumer")) as consumer:
        outcome = consumer.generate(request)
    assert outcome.answers == plain.generate(request).answers


def test_what_the_store_has_lost_is_put_again_by_who_still_holds_it(split, plain):
    request = Request(prompt(300, seed=14))
    split.prefill(request)
    split.entries.clear()
    split.producer.generate(replace(request, answer_tokens=1))  # all of it is cached here
    split.producer.generate(Request(prompt(20, seed=15), answer_tokens=4))  # steps in which to put
    split.entries.await_count(chunks(request))
    outcome = split.consumer.generate(request)
    assert outcome.answers == plain.generate(request).answers
    assert outcome.external_tokens == chunks(request) * CHUNK_TOKENS
