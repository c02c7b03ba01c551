"""Loads of models with several cache groups: what is brought, in which order, and what a failure is."""

from __future__ import annotations

import pytest

from kvtransfer.chunks.keys import group_of, piece_key
from tests.requests.engine import CHUNK, ended, keys, saved
from tests.requests.group_engine import FULL, NULL, STATE, GroupEngine, filled, window

PROMPT = list(range(100, 129))
"""Three chunks and a rest of five tokens."""
A, B, C = keys(PROMPT)


def loading(engine, tokens=PROMPT, local=0):
    """A request whose pieces are all stored begins to load; returns it and its tables."""
    engine.store_pieces(tokens)
    request = engine.request("r", tokens)
    hit = local + engine.match(request, local)
    return request, engine.load(request, hit, local)


def test_a_hit_brings_states_and_windows_first_and_of_these_only_what_is_read():
    engine = GroupEngine(FULL, window(12), STATE)
    _, tables = loading(engine)
    plan = engine.run()
    assert [load.key for load in plan.jobs.loads] == [f"{B}-1", f"{C}-1", f"{C}-2", A, B, C]
    for group, table in enumerate(tables):
        assert filled(plan, group) == [block for block in table if block != NULL]
    assert engine.side.take(ended(plan.jobs.loads)) == {"r"}
    assert engine.planner.index.room == 32


def test_what_the_engine_has_itself_is_not_loaded_again():
    engine = GroupEngine(FULL, window(20), STATE)
    _, tables = loading(engine, local=12)
    plan = engine.run()
    assert [load.key for load in plan.jobs.loads] == [f"{B}-1", f"{C}-1", f"{C}-2", B, C]
    assert filled(plan, 0) == tables[0][3:]
    assert filled(plan, 1) == tables[1][3:]
    assert [load.first_token for load in plan.jobs.loads] == [4, 0, 0, 4, 0]


def test_the_last_token_is_computed_and_no_state_holds_it():
    engine = GroupEngine(FULL, STATE)
    engine.store_pieces(PROMPT[:24])
    assert engine.match(engine.request("r", PROMPT[:24]), 0) == 16
    assert engine.match(engine.request("s", PROMPT[:25]), 0) == 24


def test_what_one_request_has_saved_the_next_one_loads():
    engine = GroupEngine(FULL, window(12), STATE)
    first = engine.come("first", PROMPT)
    engine.keep(engine.run((first, 24)), engine.run((first, 5)))
    engine.side.finish(first, owns_blocks=True)
    again = engine.request("again", [*PROMPT[:24], 1, 2])
    assert engine.match(again, 0) == 24
    engine.load(again, 24)
    loads = engine.run().jobs.loads
    assert not any(load.fetch for load in loads)
    assert engine.side.host_tokens(again) == 24


def test_the_store_is_asked_for_every_piece_however_long_the_prompt():
    engine = GroupEngine(FULL, STATE, slots=1024)
    tokens = list(range(300 * CHUNK + 1))  # hashed beside the scheduler's thread
    for name, asked in (("short", tokens[:25]), ("long", tokens)):
        engine.store_pieces(asked)
        request = engine.request(name, asked)
        while (hit := engine.match(request, 0)) is None:
            pass  # the thread is at it
        assert sorted(engine.lookup.questions[name]) == sorted(engine.pieces(asked))
        assert hit == len(asked) - 1


def test_a_hit_is_shorter_where_there_is_no_room_for_it():
    engine = GroupEngine(FULL, STATE, slots=3)
    engine.store_pieces(PROMPT)
    request = engine.request("r", PROMPT)
    assert engine.match(request, 0) == 16
    engine.load(request, 16)
    assert [load.key for load in engine.run().jobs.loads] == [f"{B}-1", A, B]


@pytest.mark.usefixtures("few_a_step")
def test_a_long_load_is_received_after_its_last_piece():
    engine = GroupEngine(FULL, window(12))
    loading(engine)
    plans = [engine.run() for _ in range(4)]
    assert [len(plan.jobs.loads) for plan in plans] == [2, 2, 1, 0]
    received = [engine.side.take(ended(plan.jobs.loads)) for plan in plans[:3]]
    assert received == [set(), set(), {"r"}]


def test_a_piece_that_fails_fails_the_request_as_a_whole():
    engine = GroupEngine(FULL, STATE)
    request, _ = loading(engine)
    loads = engine.run().jobs.loads
    assert engine.side.take(ended(loads[:1], failed=loads[:1])) == set()
    assert engine.run().failed_requests == frozenset()  # the others still write its blocks
    assert engine.side.take(ended(loads[1:])) == set()
    plan = engine.run()
    assert plan.failed_requests == {"r"}
    assert engine.tell_failed(plan) == {"r"}
    assert engine.run().failed_requests == frozenset()
    assert engine.match(request, 0) == 0
    engine.begin(request)
    computed = engine.run((request, 24))
    assert saved(computed) == [f"{C}-1"]  # the rest has arrived
    assert engine.planner.index.room == 31


@pytest.mark.usefixtures("few_a_step")
def test_behind_a_piece_that_failed_nothing_more_is_loaded():
    engine = GroupEngine(FULL, window(12))
    loading(engine)
    loads = engine.run().jobs.loads
    assert engine.side.take(ended(loads, failed=loads[1:])) == set()
    plan = engine.run()
    assert plan.jobs.loads == ()
    assert engine.tell_failed(plan) == {"r"}
    assert engine.planner.room == 32


def test_the_engine_steps_until_a_failure_is_told():
    engine = GroupEngine(FULL, STATE)
    loading(engine)
    loads = engine.run().jobs.loads
    engine.side.take(ended(loads, failed=loads))
    plan = engine.run()
    assert (plan.failed_requests, plan.wants_report) == ({"r"}, False)  # to tell is to report


@pytest.mark.parametrize("after", ["the failure", "all have ended", "it is told"])
def test_a_request_aborted_after_a_failure_is_received_once(after):
    engine = GroupEngine(FULL, STATE)
    request, _ = loading(engine)
    loads, received = engine.run().jobs.loads, []
    received.append(engine.side.take(ended(loads[:1], failed=loads[:1])))
    if after == "the failure":
        engine.side.finish(request, owns_blocks=True)
    received.append(engine.side.take(ended(loads[1:])))
    if after == "all have ended":
        engine.side.finish(request, owns_blocks=True)
    plan = engine.run()
    if after == "it is told":
        engine.side.finish(request, owns_blocks=True)
    received += [engine.tell_failed(plan), engine.tell_failed(engine.run())]
    assert [name for names in received for name in names] == ["r"]
    assert plan.failed_requests == ({"r"} if after == "it is told" else set())
    assert not engine.side.states()
    assert engine.planner.index.room == 32


def test_what_other_weights_computed_is_dropped_as_a_whole():
    engine = GroupEngine(FULL, STATE)
    request, _ = loading(engine)
    loads = engine.run().jobs.loads
    engine.side.take(ended(loads[:2]))
    engine.weights = "others"
    engine.side.reset()
    engine.run()
    assert engine.side.take(ended(loads[2:])) == set()
    plan = engine.run()
    assert plan.failed_requests == {"r"}
    assert engine.tell_failed(plan) == {"r"}
    assert engine.match(request, 0) == 0


def test_a_waiting_request_has_the_pieces_fetched_that_it_will_load():
    engine = GroupEngine(FULL, window(12))
    engine.store_pieces(PROMPT)
    waiting = engine.request("waiting", PROMPT)
    fetched = [load for _ in range(3) for load in engine.run().jobs.loads]
    assert [(load.key, load.block_ids) for load in fetched] == [
        (key, ()) for key in (f"{B}-1", f"{C}-1", A, B, C)
    ]
    engine.side.take(ended(fetched))
    assert engine.match(waiting, 0) == 24
    assert engine.side.counted()["prefetched_chunks"] == 5


def test_only_the_end_of_a_window_of_which_more_is_stored_is_loaded():
    engine = GroupEngine(window(4))
    _, tables = loading(engine)
    (load,) = engine.run().jobs.loads
    assert (load.key, load.block_ids, load.first_token) == (C, (tables[0][5],), 0)
    assert group_of(load.key) == 0


@pytest.mark.parametrize("missing", [piece_key(C, 1), C])
def test_a_hit_that_lacks_a_piece_is_shorter(missing):
    engine = GroupEngine(FULL, STATE)
    engine.store_pieces(PROMPT)
    del engine.lookup.stored[missing]
    assert engine.match(engine.request("r", PROMPT), 0) == 16
