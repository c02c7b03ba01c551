"""A request whose chunks another engine is putting, against a stand-in for an engine."""

from __future__ import annotations

import pytest

from kvtransfer.requests.loading.awaited import Awaited, nothing_prefilled
from tests.fake_clock import FakeClock
from tests.requests.engine import CHUNK, TOKENS, Engine


def prefilled(request):
    return request.prefilled


@pytest.fixture
def engine():
    return Engine(prefilled=prefilled)


def test_chunks_on_their_way_are_waited_for(engine):
    request = engine.request("r", TOKENS, prefilled=len(TOKENS))
    assert engine.match(request, 0) is None
    assert 0 < engine.step().poll_s < 0.01
    engine.store(TOKENS[:CHUNK])
    wait(engine)
    engine.lookup.questions["r"] = []
    assert engine.match(request, 0) is None
    assert len(engine.lookup.questions["r"]) == 2  # it has asked again
    engine.store(TOKENS)
    wait(engine)
    assert engine.match(request, 0) == 2 * CHUNK
    assert engine.step().poll_s == 0


def wait(engine):
    """Until the store may be asked again."""
    engine.lookup.waits_s = 0.02


def test_no_request_waits_longer_than_for_a_lookup(engine):
    engine.store(TOKENS[:CHUNK])
    request = engine.request("r", TOKENS, prefilled=len(TOKENS))
    assert engine.match(request, 0) is None
    engine.now_s += 0.6
    assert engine.match(request, 0) == CHUNK
    assert engine.step().poll_s == 0


def test_what_is_not_said_to_come_is_not_waited_for(engine):
    engine.store(TOKENS[:CHUNK])
    assert engine.match(engine.request("r", TOKENS, prefilled=0), 0) == CHUNK
    assert engine.match(engine.request("s", TOKENS, prefilled=2 * CHUNK - 1), 0) == CHUNK


def test_a_claim_beyond_the_prompt_is_cut(engine):
    engine.store(TOKENS)
    assert engine.match(engine.request("r", TOKENS, prefilled=10**9), 0) == 2 * CHUNK


def test_more_than_there_is_room_for_is_not_waited_for():
    engine = Engine(slots=1, prefilled=prefilled)
    engine.store(TOKENS[:CHUNK])
    assert engine.match(engine.request("r", TOKENS, prefilled=len(TOKENS)), 0) == CHUNK


def test_waiting_that_does_not_pay_is_left_out(engine):
    for _ in range(2):  # a token takes a millisecond to compute, and a second to load
        engine.compute(1000, seconds=1.0)
    engine.bring(remote=1, seconds=1.0)
    request = engine.request("r", TOKENS, prefilled=len(TOKENS))
    assert engine.match(request, 0) == 0


def test_a_request_that_ends_waits_no_more():
    clock = FakeClock()
    awaited = Awaited(nothing_prefilled, CHUNK, 0.5, clock)
    assert awaited.lacks("r", 0, CHUNK)
    assert awaited.is_waiting
    awaited.forget("r")
    assert not awaited.is_waiting
    clock.now_s = 10
    assert awaited.lacks("r", 0, CHUNK)  # another request of that name
