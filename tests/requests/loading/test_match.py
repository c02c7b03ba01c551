"""What a request is told that it can load, against a stand-in for an engine: no engine, no store."""

from __future__ import annotations

import pytest

from tests.requests.engine import BLOCK, CHUNK, LONG, TOKENS, Engine, ended, keys


def test_a_producer_never_loads_and_a_consumer_never_saves():
    producer = Engine(loads=False)
    producer.hold(TOKENS)
    assert producer.match(producer.request("r", TOKENS), 0) == 0
    consumer = Engine(saves=False)
    assert consumer.prefill("r", TOKENS)[2].jobs.saves == ()
    consumer.store(TOKENS)
    assert consumer.match(consumer.request("s", TOKENS), 0) == 16


def test_nothing_is_said_until_the_store_has_answered(engine):
    engine.lookup.answers = False
    engine.store(TOKENS)
    request = engine.request("r", TOKENS)
    assert engine.match(request, 0) is None
    assert 0 < engine.step().poll_s < 0.01
    engine.lookup.answers = True
    assert engine.match(request, 0) == 16
    assert engine.match(request, 0) == 16


def test_a_long_prompt_is_hashed_beside_the_schedulers_thread(engine):
    tokens = list(range(1000 * CHUNK))
    engine.store(tokens)
    request = engine.request("r", tokens)
    assert 0 < engine.step().poll_s < 0.01
    while (found := engine.match(request, 0)) is None:
        pass  # the thread is at it
    assert found == 8 * CHUNK  # as many as there are slots
    engine.side.finish(engine.request("s", tokens), owns_blocks=True)


def test_host_memory_alone_answers_at_once(engine):
    engine.hold(TOKENS)
    engine.lookup.answers = False
    assert engine.match(engine.request("r", TOKENS[:16]), 0) == 16


@pytest.mark.parametrize(("local", "found"), [(0, 16), (4, 12), (8, 8), (12, 4), (16, 0), (20, 0)])
def test_local_hits_are_not_loaded_again(engine, local, found):
    engine.store(TOKENS)
    request = engine.request("r", TOKENS)
    assert engine.match(request, local) == found
    ids = engine.blocks(local + found)
    engine.admit(request, ids, found)
    plan = engine.step()
    wanted = [(load.first_token, load.block_ids) for load in plan.jobs.loads]
    blocks = [block for _, block_ids in wanted for block in block_ids]
    assert blocks == ids[local // BLOCK :]
    assert [first for first, _ in wanted] == ([local % CHUNK] + [0] * 9)[: len(wanted)]


def test_a_hit_is_cut_to_what_there_is_room_for():
    engine = Engine(slots=1)
    engine.store(TOKENS)
    request = engine.request("r", TOKENS)
    assert engine.match(request, 0) == 8
    engine.admit(request, engine.blocks(8), 8)
    assert engine.match(engine.request("s", TOKENS[1:]), 0) == 0


def test_what_is_sooner_computed_than_loaded_is_refused_and_probed(engine):
    engine.store(TOKENS)
    for _ in range(2):  # a token takes a millisecond to compute, and a second to load
        engine.compute(1000, seconds=1.0)
    engine.bring(remote=1, seconds=1.0)
    engine.side.counted()
    request = engine.request("r", TOKENS)
    assert engine.match(request, 0) == 0
    engine.admit(request, engine.blocks(21), 0)
    plan = engine.step(new=[(request, engine.blocks(21), 0, 21)])
    (probe,) = plan.jobs.loads
    assert probe.key in keys(TOKENS)
    assert probe.fetch
    assert probe.block_ids == ()
    counted = engine.side.counted()
    assert counted["refused_tokens"] == 16
    assert counted["probed_chunks"] == 1
    assert engine.side.take(ended([probe])) == set()
    assert engine.match(engine.request("s", range(16)), 0) == 0
    assert engine.step().jobs.loads == ()  # no probe for each request


def test_an_answer_that_comes_too_late_to_pay_is_not_awaited(engine):
    engine.store(TOKENS)
    engine.compute(1000, seconds=1.0)
    engine.bring(remote=16, seconds=0.001)
    engine.lookup.answers = False
    engine.lookup.answer_s = [0.001]
    request = engine.request("r", TOKENS)
    assert engine.match(request, 0) is None
    engine.lookup.waits_s = 0.3  # it is late, and by how much is not known
    assert engine.match(request, 0) == 0
    engine.lookup.answers = True
    engine.lookup.waits_s = 0.0
    engine.now_s += 10
    assert engine.match(engine.request("s", TOKENS), 0) == 16


def test_a_late_answer_to_one_request_costs_no_other_its_load(engine):
    engine.store(TOKENS)
    engine.compute(1000, seconds=1.0)
    engine.bring(remote=16, seconds=0.95 * 0.016)  # pays, though not by much
    engine.lookup.answers = False
    engine.lookup.answer_s = [0.0]
    engine.lookup.waits_s = 0.3
    assert engine.match(engine.request("r", TOKENS), 0) == 0
    engine.lookup.answers = True
    engine.lookup.waits_s = 0.0
    assert engine.match(engine.request("s", TOKENS), 0) == 16


def test_host_memory_is_used_while_the_store_is_refused(engine):
    engine.hold(TOKENS[:8])
    engine.store(TOKENS)
    engine.compute(1000, seconds=1.0)
    engine.bring(remote=8, seconds=8.0)
    engine.bring(host=8, seconds=0.001)
    assert engine.match(engine.request("r", TOKENS), 0) == 8


def test_a_request_tries_host_memory_once_in_a_while_when_it_is_refused(engine):
    engine.hold(TOKENS)
    engine.compute(1000, seconds=1.0)
    engine.bring(host=8, seconds=8.0)
    found = [engine.match(engine.request(name, TOKENS[:16]), 0) for name in "abc"]
    assert found == [16, 0, 0]


@pytest.mark.parametrize(("fast", "slow"), [("disk", "remote"), ("remote", "disk")])
def test_a_slow_tier_costs_a_fast_one_none_of_its_loads(engine, fast, slow):
    engine.store(TOKENS, slow)
    engine.store(TOKENS[:8], fast)
    engine.compute(1000, seconds=1.0)
    engine.bring(**{slow: 8}, seconds=8.0)
    engine.bring(**{fast: 8}, seconds=0.001)
    request = engine.request("r", TOKENS)
    assert engine.match(request, 0) == 8
    engine.admit(request, engine.blocks(21), 8)
    fetched, probe = engine.step().jobs.loads
    assert (fetched.key, probe.key) == tuple(keys(TOKENS))
    assert (fetched.block_ids, probe.block_ids) == ((1, 2), ())
    assert engine.side.counted()["probed_chunks"] == 1
    assert engine.side.take(ended([fetched, probe])) == {"r"}


def test_each_refused_tier_is_probed_by_a_key_of_its_own(engine):
    engine.store(TOKENS, "remote")
    engine.store(LONG, "disk")
    engine.compute(1000, seconds=1.0)
    for tier in ("disk", "remote"):
        engine.bring(**{tier: 8}, seconds=8.0)
    assert engine.match(engine.request("r", TOKENS), 0) == 0
    assert engine.match(engine.request("s", LONG), 0) == 0
    probes = engine.step().jobs.loads
    assert [
        probe.key in keys(tokens) for probe, tokens in zip(probes, (TOKENS, LONG), strict=True)
    ] == [True, True]
    engine.side.take(ended(probes))
    assert engine.step().jobs.loads == ()  # the next ones come later


def test_a_late_answer_is_awaited_while_the_fastest_tier_would_pay(engine):
    engine.compute(1000, seconds=1.0)
    engine.bring(remote=8, seconds=8.0)
    engine.bring(disk=8, seconds=0.001)
    engine.lookup.answers = False
    assert engine.match(engine.request("r", TOKENS), 0) == 0
    engine.lookup.tiers = ("disk", "remote")
    assert engine.match(engine.request("s", TOKENS), 0) is None
