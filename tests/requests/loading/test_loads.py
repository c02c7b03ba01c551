"""Loads get their jobs in pieces, and their requests are received once all have ended."""

from __future__ import annotations

import pytest

from tests.requests.engine import LONG, TOKENS, Engine, ended, keys, load_long, saved


def test_a_loaded_request_is_received_once_all_its_jobs_ended(engine):
    engine.store(TOKENS)
    request = engine.request("r", TOKENS)
    engine.match(request, 0)
    engine.admit(request, engine.blocks(16), 16)
    plan = engine.step()
    assert plan.poll_s > 0
    first, second = plan.jobs.loads
    assert engine.side.take(ended([first])) == set()
    assert engine.side.take(ended([second])) == {"r"}
    assert engine.side.host_tokens(request) == 0
    engine.admit(request, engine.blocks(24), 0)
    assert engine.planner.index.room == 8
    assert engine.side.counted()["store_hit_tokens"] == 16


def test_what_failed_once_is_recomputed_saved_and_not_tried_again(engine):
    engine.store(TOKENS)
    request = engine.request("r", TOKENS)
    engine.match(request, 0)
    engine.admit(request, engine.blocks(16), 16)
    loads = engine.step().jobs.loads
    assert engine.side.take(ended(loads, failed=loads[:1])) == {"r"}
    assert engine.match(request, 0) == 0
    ids = engine.blocks(len(TOKENS))
    engine.admit(request, ids, 0)
    plan = engine.step(new=[(request, ids, 0, len(TOKENS))])
    assert [save.key for save in plan.jobs.saves] == keys(TOKENS)[:1]  # the other one has arrived


def test_two_requests_share_one_fetch(engine):
    engine.store(TOKENS)
    a, b = engine.request("a", TOKENS), engine.request("b", TOKENS)
    for request in (a, b):
        assert engine.match(request, 0) == 16
        engine.admit(request, engine.blocks(16), 16)
    loads = engine.step().jobs.loads
    assert [load.fetch for load in loads] == [True, True, False, False]
    assert loads[0].slot == loads[2].slot
    assert engine.side.take(ended(loads)) == {"a", "b"}
    assert engine.side.host_tokens(b) == 16


def test_a_request_aborted_while_it_loads_is_received_not_sent(engine):
    engine.store(TOKENS)
    request = engine.request("r", TOKENS)
    engine.match(request, 0)
    engine.admit(request, engine.blocks(16), 16)
    loads = engine.step().jobs.loads
    engine.side.finish(request, owns_blocks=True)
    assert not engine.side.is_saving
    assert engine.side.take(ended(loads)) == {"r"}
    assert engine.planner.index.room == 8


def test_a_load_is_given_up_after_twice_the_time_it_was_worth(engine):
    engine.store(TOKENS)
    engine.compute(1000, seconds=100.0)
    request = engine.request("r", TOKENS)
    assert engine.match(request, 0) == 16
    engine.admit(request, engine.blocks(16), 16)
    assert [load.start_within_s for load in engine.step().jobs.loads] == [pytest.approx(3.2)] * 2


@pytest.mark.usefixtures("few_a_step")
def test_a_long_load_gets_its_jobs_in_pieces_and_is_received_after_the_last(engine):
    _, ids = load_long(engine, local=4)
    plans = [engine.step() for _ in range(4)]
    assert [len(plan.jobs.loads) for plan in plans] == [2, 2, 2, 0]
    loads = [load for plan in plans for load in plan.jobs.loads]
    assert [load.key for load in loads] == keys(LONG)
    assert [block for load in loads for block in load.block_ids] == ids[1:]
    assert [load.first_token for load in loads] == [4, 0, 0, 0, 0, 0]
    assert len({load.priority for load in loads}) == 1
    for load in loads[:-1]:
        assert engine.side.take(ended([load])) == set()
    assert engine.side.take(ended(loads[-1:])) == {"r"}
    assert engine.side.counted()["store_hit_tokens"] == 44


@pytest.mark.usefixtures("few_a_step")
def test_a_load_is_not_received_between_two_pieces(engine):
    load_long(engine)
    received = [engine.side.take(ended(engine.step().jobs.loads)) for _ in range(3)]
    assert received == [set(), set(), {"r"}]
    assert engine.planner.index.room == 8


@pytest.mark.usefixtures("few_a_step")
def test_room_that_was_promised_is_given_to_nobody_else(engine):
    load_long(engine)  # six of eight slots
    engine.store(range(40))
    other = engine.request("s", range(40))
    engine.step()
    prefetch = engine.step().jobs.loads[2:]
    assert [load.key for load in prefetch] == keys(range(40))[:2]
    _, _, plan = engine.prefill("t", range(300, 308))
    assert plan.jobs.saves == ()
    assert engine.side.counted()["save_skipped_chunks"] == 1
    assert engine.match(other, 0) == 16
    assert engine.planner.room == 0


@pytest.mark.usefixtures("few_a_step")
def test_what_host_memory_holds_stays_until_its_turn():
    engine = Engine(slots=6)
    engine.hold(LONG)
    request = engine.request("r", LONG)
    assert engine.match(request, 0) == 48
    engine.admit(request, engine.blocks(48), 48)
    loads = [*engine.step().jobs.loads]
    assert engine.side.take(ended(loads)) == set()
    _, _, plan = engine.prefill("s", range(40))
    assert len(plan.jobs.saves) == 2  # those of the first piece may go
    loads = [*plan.jobs.loads, *engine.step().jobs.loads]
    assert [load.key for load in loads] == keys(LONG)[2:]
    assert not any(load.fetch for load in loads)
    assert engine.side.take(ended(loads)) == {"r"}


@pytest.mark.usefixtures("few_a_step")
@pytest.mark.parametrize("planned", [0, 1, 2])
def test_a_request_aborted_between_two_pieces_gets_no_more(engine, planned):
    request, _ = load_long(engine)
    loads = [load for _ in range(planned) for load in engine.step().jobs.loads]
    engine.side.finish(request, owns_blocks=True)
    plan = engine.step()
    assert plan.jobs.loads == ()
    assert plan.wants_report == (not loads)
    assert engine.side.take(ended(loads)) == {"r"}
    assert engine.planner.room == 8


@pytest.mark.usefixtures("few_a_step")
def test_behind_a_piece_that_failed_nothing_more_is_loaded(engine):
    request, _ = load_long(engine)
    loads = engine.step().jobs.loads
    assert engine.side.take(ended(loads, failed=loads[1:])) == {"r"}
    assert engine.step().jobs.loads == ()
    assert engine.planner.room == 8
    assert engine.match(request, 0) == 0


@pytest.mark.usefixtures("few_a_step")
def test_the_time_that_a_load_may_take_does_not_begin_anew_with_each_piece(engine):
    engine.compute(1000, seconds=100.0)
    load_long(engine)
    first = engine.step().jobs.loads
    engine.now_s += 4.0
    second = engine.step().jobs.loads
    assert first[0].start_within_s - second[0].start_within_s == pytest.approx(4.0)


@pytest.mark.usefixtures("few_a_step")
def test_no_load_counts_on_what_the_same_step_saves(engine):
    computed, ids = engine.request("s", LONG), engine.blocks(len(LONG))
    assert engine.match(computed, 0) == 0
    engine.admit(computed, ids, 0)
    load_long(engine)
    engine.lookup.questions["s"] = set()  # it came before they were stored
    plan = engine.step(new=[(computed, ids, 0, len(LONG))])
    assert [load.fetch for load in plan.jobs.loads] == [True, True]
    assert saved(plan) == keys(LONG)[2:4]
    assert [load.fetch for load in engine.step().jobs.loads] == [False, False]  # saved before


def mixed(engine):
    """A request's load: two chunks of the disk, then four of the remote store."""
    engine.store(LONG, "remote")
    engine.store(LONG[:16], "disk")
    request = engine.request("r", LONG)
    assert engine.match(request, 4) == 44
    engine.admit(request, engine.blocks(48), 44)
    return request


def learned(engine, *tiers):
    """The seconds that Cost expects of eight tokens."""
    return [engine.timing._cost.mix_seconds({tier: 8}) for tier in tiers]


def test_a_load_of_several_tiers_teaches_each_its_part(engine):
    mixed(engine)
    loads = engine.step().jobs.loads
    engine.now_s += 4.4
    assert engine.side.take(ended(loads)) == {"r"}
    assert learned(engine, "host", "disk", "remote") == [None, *[pytest.approx(0.8)] * 2]


def test_a_chunk_that_fails_counts_against_its_own_tier(engine):
    for _ in range(2):
        engine.compute(1000, seconds=10.0)
        engine.bring(disk=8, remote=8, seconds=0.002)
    request = mixed(engine)
    loads = engine.step().jobs.loads
    engine.now_s += 9.0
    assert engine.side.take(ended(loads[:2])) == set()
    assert engine.side.take(ended(loads[2:], failed=loads[3:4])) == {"r"}
    engine.side.finish(request, owns_blocks=True)
    for slot in range(engine.planner.index.slots):
        engine.planner.index.forget(slot)
    assert engine.match(engine.request("s", LONG), 0) == 16
    assert learned(engine, "disk", "remote") == [pytest.approx(0.001)] * 2


@pytest.mark.usefixtures("few_a_step")
def test_what_is_given_up_teaches_its_tiers_nothing(engine):
    request = mixed(engine)
    loads = engine.step().jobs.loads
    engine.side.finish(request, owns_blocks=True)
    engine.now_s += 1.2
    assert engine.side.take(ended(loads)) == {"r"}
    assert learned(engine, "disk", "remote") == [pytest.approx(0.8), None]


def test_a_chunk_that_host_memory_lost_meanwhile_is_sought_in_the_store(engine):
    engine.hold(TOKENS)
    request = engine.request("r", TOKENS)
    assert engine.match(request, 0) == 16
    for slot in range(engine.planner.index.slots):
        engine.planner.index.forget(slot)
    engine.admit(request, engine.blocks(16), 16)
    loads = engine.step().jobs.loads
    assert [load.fetch for load in loads] == [True, True]
    engine.now_s += 1.6
    assert engine.side.take(ended(loads)) == {"r"}
    assert engine.side.host_tokens(request) == 0
    assert learned(engine, "host", "remote") == [None, pytest.approx(0.8)]
