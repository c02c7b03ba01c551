"""What a request's caller says of caching is done, and nothing else changes."""

from __future__ import annotations

import pytest

from kvtransfer.chunks.keys import group_of
from kvtransfer.requests.control import Control
from tests.requests.engine import LONG, TOKENS, Engine, copied, ended, keys, saved
from tests.requests.group_engine import FULL, GroupEngine, window


class Said:
    """What each request's caller has said, by the name of the request."""

    def __init__(self, **controls):
        self._controls = controls

    def of(self, request):
        return self._controls.get(request.request_id, Control())


def engine_with(slots=24, **controls):
    return Engine(slots=slots, controls=Said(**controls))


def test_a_request_that_may_not_load_computes_what_is_held_and_stored():
    engine = engine_with(r=Control(loads=False))
    engine.hold(TOKENS)
    engine.store(LONG)
    for tokens in (TOKENS, LONG):
        request = engine.request("r", tokens)
        assert [engine.step().jobs.loads for _ in range(3)] == [()] * 3  # nothing is prefetched
        assert engine.match(request, 0) == 0
        engine.admit(request, engine.blocks(len(tokens)), 0)
        engine.side.finish(request, owns_blocks=True)
    assert engine.match(engine.request("other", TOKENS), 0) == 16


def test_a_request_that_may_not_save_saves_nothing_and_still_loads():
    engine = engine_with(r=Control(saves=False))
    engine.store(TOKENS)
    request = engine.request("r", TOKENS + LONG)
    assert engine.match(request, 0) == 16
    ids = engine.blocks(len(request.all_token_ids))
    engine.admit(request, ids, 16)
    loads = engine.step().jobs.loads
    engine.side.take(ended(loads))
    computed = [
        engine.step(new=[(request, ids, 16, 30)]),
        engine.step(cached=[(request, [], 46, 9)]),
    ]
    assert saved(*computed) == []
    assert engine.side.served(request).saved_tokens == 0
    engine.side.finish(request, owns_blocks=True)
    assert engine.side.rest() == []
    assert not engine.side.is_saving


@pytest.mark.parametrize("ttl_s", [None, 60])
def test_what_a_request_saves_lives_as_it_asks(ttl_s):
    engine = engine_with(r=Control(ttl_s=ttl_s))
    plan = engine.prefill("r", TOKENS)[2]
    assert [save.ttl_s for save in plan.jobs.saves] == [ttl_s, ttl_s]


@pytest.mark.parametrize("ttl_s", [None, 60])
def test_what_it_offers_again_lives_as_it_asks(ttl_s):
    engine = engine_with(r=Control(loads=False, ttl_s=ttl_s))
    engine.hold(TOKENS)
    puts = engine.prefill("r", TOKENS)[2].jobs.puts
    assert [put.ttl_s for put in puts] == [ttl_s, ttl_s]


def test_what_others_save_is_saved_beside_it():
    engine = engine_with(r=Control(saves=False))
    _, _, plan = engine.prefill("r", TOKENS)
    assert saved(plan) == []
    _, _, plan = engine.prefill("other", TOKENS)
    assert saved(plan) == keys(TOKENS)


def test_windows_of_a_request_that_may_not_save_are_not_saved():
    engine = GroupEngine(FULL, window(8), controls=Said(r=Control(saves=False)))
    assert saved(engine.run((engine.come("r", TOKENS), 21))) == []
    assert len(saved(engine.run((engine.come("other", TOKENS), 21)))) > 2


def test_windows_of_a_request_live_as_it_asks():
    engine = GroupEngine(FULL, window(8), controls=Said(r=Control(ttl_s=60)))
    plan = engine.run((engine.come("r", TOKENS), 21))
    assert {save.ttl_s for save in plan.jobs.saves} == {60}
    assert len({group_of(save.key) for save in plan.jobs.saves}) == 2


@pytest.mark.parametrize(
    ("most", "local", "tokens"),
    [
        (0, 0, 0),
        (7, 0, 0),
        (8, 0, 8),
        (23, 0, 16),
        (1000, 0, 48),
        (16, 8, 16),
        (4, 12, 4),
        (3, 12, 0),
    ],
)
def test_a_load_brings_at_most_so_many_tokens(most, local, tokens):
    engine = engine_with(r=Control(most_loaded_tokens=most))
    engine.store(LONG)
    request = engine.request("r", LONG)
    assert engine.match(request, local) == tokens


def test_no_more_is_prefetched_than_may_be_loaded():
    engine = engine_with(r=Control(most_loaded_tokens=8))
    engine.store(LONG)
    engine.request("r", LONG)
    fetched = [load.key for _ in range(4) for load in engine.step().jobs.loads]
    assert fetched == keys(LONG)[:1]


def test_fetches_go_later_or_sooner_by_so_many_chunks():
    engine = engine_with(
        slots=48, late=Control(priority=100), soon=Control(priority=-100), plain=Control()
    )
    priorities = {}
    for at, name in enumerate(("late", "plain", "soon")):
        tokens = range(1000 * at, 1000 * at + 40)
        engine.store(tokens)
        request = engine.request(name, tokens)
        assert engine.match(request, 0) == 40
        engine.admit(request, engine.blocks(40), 40)
        priorities[name] = {load.priority for load in engine.step().jobs.loads}
    (late,), (plain,), (soon,) = (priorities[name] for name in ("late", "plain", "soon"))
    assert (late - plain, soon - plain) == (100, -100)


def test_a_prefetch_goes_by_it_too():
    engine = engine_with(late=Control(priority=100))
    engine.store(LONG)
    engine.request("late", LONG)
    fetched = [load.priority for _ in range(3) for load in engine.step().jobs.loads]
    assert fetched
    assert min(fetched) >= 100


class TestServed:
    """What a request's caller is told."""

    def test_loads_count_by_tier(self):
        engine = engine_with()
        engine.hold(LONG[:8])
        engine.store(LONG)
        request = engine.request("r", LONG)
        assert engine.match(request, 0) == 48
        ids = engine.blocks(50)
        engine.admit(request, ids, 48)
        engine.side.take(ended(engine.step().jobs.loads))
        served = engine.side.served(request)
        assert (served.loaded_from, served.has_failed) == ({"host": 8, "remote": 40}, False)
        assert served.blended is None

    def test_a_load_that_failed_is_told(self):
        engine = engine_with()
        engine.store(TOKENS)
        request = engine.request("r", TOKENS)
        engine.match(request, 0)
        engine.admit(request, engine.blocks(16), 16)
        loads = engine.step().jobs.loads
        engine.side.take(ended(loads, failed=loads[:1]))
        assert engine.side.served(request).has_failed

    def test_nothing_is_told_of_one_that_was_never_scheduled(self):
        engine = engine_with()
        served = engine.side.served(engine.request("r", TOKENS))
        assert (served.loaded_from, served.saved_tokens) == ({}, 0)

    def test_chunks_count_that_are_saved_or_were_there(self):
        engine = engine_with()
        engine.hold(LONG[:8])
        request, _, plan = engine.prefill("r", LONG[:8] + TOKENS, local=8)
        assert engine.side.served(request).saved_tokens == 24
        engine.side.take(copied(plan.jobs.saves))
        assert engine.side.served(request).saved_tokens == 24

    def test_chunks_without_a_slot_don_t_count(self):
        engine = engine_with(slots=2)
        request, _, plan = engine.prefill("r", LONG)
        assert len(plan.jobs.saves) == 2
        assert engine.side.served(request).saved_tokens == 16
