"""Waiting requests have their chunks fetched before the engine comes to them."""

from __future__ import annotations

import pytest

from tests.requests.engine import LONG, TOKENS, Engine, ended, keys


def test_what_waits_in_line_is_fetched_ahead_and_then_loaded_from_host_memory(engine):
    engine.store(TOKENS)
    waiting = engine.request("waiting", TOKENS)
    fetched = []
    for _ in range(3):  # a quarter of eight slots at once
        fetched += engine.step().jobs.loads
    assert [(load.key, load.fetch, load.block_ids) for load in fetched] == [
        (key, True, ()) for key in keys(TOKENS)
    ]
    assert engine.side.counted()["prefetched_chunks"] == 2
    assert engine.side.take(ended(fetched)) == set()
    assert engine.match(waiting, 0) == 16
    engine.admit(waiting, engine.blocks(16), 16)
    assert [load.fetch for load in engine.step().jobs.loads] == [False, False]
    assert engine.side.host_tokens(waiting) == 16


def test_a_load_may_begin_before_what_was_fetched_ahead_has_come(engine):
    engine.store(TOKENS)
    waiting = engine.request("waiting", TOKENS)
    prefetch = engine.step().jobs.loads
    assert engine.match(waiting, 0) == 16
    engine.admit(waiting, engine.blocks(16), 16)
    loads = engine.step().jobs.loads
    assert engine.side.take(ended(prefetch, failed=prefetch[:1])) == set()
    assert engine.side.take(ended(loads, failed=loads[:1])) == {"waiting"}
    assert engine.planner.index.room == 8


def test_nothing_is_fetched_ahead_where_nothing_is_kept():
    engine = Engine(keep=False)
    engine.store(TOKENS)
    engine.request("waiting", TOKENS)
    assert engine.step().jobs.loads == ()


def test_a_request_that_has_gone_from_the_line_is_not_fetched_for(engine):
    engine.store(TOKENS)
    engine.side.finish(engine.request("waiting", TOKENS), owns_blocks=True)
    assert engine.step().jobs.loads == ()


@pytest.mark.usefixtures("few_a_step")
def test_what_is_fetched_ahead_comes_in_pieces_until_the_request_is_scheduled():
    engine = Engine(slots=24)
    engine.store(LONG)
    waiting = engine.request("waiting", LONG)
    fetched = [engine.step().jobs.loads for _ in range(3)]
    assert [len(loads) for loads in fetched] == [0, 2, 2]
    engine.match(waiting, 0)
    assert engine.step().jobs.loads == ()
