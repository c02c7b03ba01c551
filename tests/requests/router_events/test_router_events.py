"""What routers hear of a scheduler that plans saves, loads, puts and evictions."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest

from kvtransfer.chunks.keys import KeyChain, namespace
from kvtransfer.config import TransferConfig
from kvtransfer.plan import Put, Report, Save
from kvtransfer.requests.router_events.dialects import places
from kvtransfer.requests.router_events.event import ChunkBlocks
from kvtransfer.requests.router_events.router_events import RouterEvents
from kvtransfer.scheduling.changes import Added, Removed
from kvtransfer.scheduling.planner import Settled
from tests.requests.engine import (
    BLOCK,
    CHUNK,
    LONG,
    TOKENS,
    Engine,
    RequestKeys,
    copied,
    ended,
    keys,
)
from tests.requests.router_events.replayed import Believed

TOLD = places("vllm-router", "pool")
CPU, DISK, POOL = TOLD["host"], TOLD["disk"], TOLD["remote"]
TTL_S = 60.0


class TokenNames:
    """A block's hash is that of its tokens and all before them; a request without names has none."""

    def blocks_of(self, state, chunk):
        if getattr(state.request, "is_nameless", False):
            return None
        ids = state.request.all_token_ids
        hashes = block_hashes(ids)
        per_chunk = CHUNK // BLOCK
        first = chunk * per_chunk
        return ChunkBlocks(
            tuple(hashes[first : first + per_chunk]),
            hashes[first - 1] if first else None,
            ids[chunk * CHUNK : (chunk + 1) * CHUNK],
        )


def block_hashes(ids):
    return [hash(tuple(ids[:end])) for end in range(BLOCK, len(ids) + 1, BLOCK)]


def chunks_of(ids):
    return set(block_hashes(ids)[: len(ids) // CHUNK * CHUNK // BLOCK])


class Told(Engine):
    """An engine, and what a router believes of it."""

    def __init__(self, **settings):
        def opened(clock):
            return RouterEvents(TokenNames(), TOLD, TTL_S, clock)

        self.believed = Believed()
        super().__init__(router_events=opened, **settings)

    def at(self, place):
        return self.believed.hear(self.side.take_router_events()).at(place)


@pytest.fixture
def engine():
    return Told()


def test_a_saved_chunk_is_told_of_by_block_with_its_tokens_and_its_parent(engine):
    _, _, plan = engine.prefill("r", TOKENS)
    assert engine.side.take_router_events() == []
    engine.side.take(Report(copied={save.job: 1 for save in plan.jobs.saves}))
    events = engine.side.take_router_events()
    hashes = block_hashes(TOKENS)
    assert [event.place for event in events] == [CPU, CPU]
    assert [event.blocks for event in events] == [
        ChunkBlocks(tuple(hashes[:2]), None, TOKENS[:8]),
        ChunkBlocks(tuple(hashes[2:4]), hashes[1], TOKENS[8:16]),
    ]


def test_what_was_put_is_in_the_stores_when_every_rank_has_said_so(engine):
    _, _, plan = engine.prefill("r", TOKENS)
    jobs = {save.job: 1 for save in plan.jobs.saves}
    engine.side.take(Report(copied=jobs))
    assert engine.at(POOL) == set()
    engine.side.take(Report(stored=jobs, absent={("disk", keys(TOKENS)[0])}))
    assert engine.at(CPU) == engine.at(POOL) == chunks_of(TOKENS)
    assert engine.at(DISK) == set(block_hashes(TOKENS)[2:4])


def test_evicted_chunks_leave_host_memory_and_stay_in_the_store(engine):
    engine.hold(TOKENS)
    assert engine.at(CPU) == chunks_of(TOKENS)
    engine.hold(range(300, 364))
    assert engine.at(CPU) == chunks_of(list(range(300, 364)))
    assert engine.at(POOL) >= chunks_of(TOKENS)


def test_an_entry_whose_time_is_over_is_removed(engine):
    engine.hold(TOKENS)
    assert engine.at(POOL) == chunks_of(TOKENS)
    engine.now_s += TTL_S
    assert engine.at(POOL) == engine.at(DISK) == set()
    assert engine.at(CPU) == chunks_of(TOKENS)


def test_what_a_load_brings_into_host_memory_is_told_of_and_the_others_entry_is_not(engine):
    engine.store(TOKENS)
    request = engine.request("r", TOKENS)
    assert engine.match(request, 0) == 16
    engine.admit(request, engine.blocks(16), 16)
    engine.side.take(ended(engine.step().jobs.loads))
    assert engine.at(CPU) == chunks_of(TOKENS)
    assert engine.at(POOL) == set()


def test_a_failed_load_tells_nothing(engine):
    engine.store(TOKENS)
    request = engine.request("r", TOKENS)
    engine.match(request, 0)
    engine.admit(request, engine.blocks(16), 16)
    loads = engine.step().jobs.loads
    engine.side.take(ended(loads, failed=loads))
    assert engine.at(CPU) == set()


def test_without_chunks_kept_in_host_memory_only_stores_are_told_of():
    engine = Told(keep=False)
    _, _, plan = engine.prefill("r", TOKENS)
    engine.side.take(copied(plan.jobs.saves))
    assert engine.at(CPU) == set()
    assert engine.at(POOL) == chunks_of(TOKENS)


def test_what_the_store_lost_is_removed_when_a_request_asks_for_it():
    engine = Told(slots=2)
    engine.hold(TOKENS)
    engine.hold(range(300, 316))  # takes the slots
    assert engine.at(POOL) >= chunks_of(TOKENS)
    engine.now_s += 1.0
    request = engine.request("s", TOKENS)
    assert engine.match(request, 0) == 0
    engine.admit(request, engine.blocks(len(TOKENS)), 0)
    assert engine.at(POOL) == chunks_of(list(range(300, 316)))


def test_new_weights_make_all_that_was_told_wrong(engine):
    request, _, plan = engine.prefill("r", TOKENS)
    engine.side.take(copied(plan.jobs.saves))
    assert engine.at(CPU)
    engine.weights = "others"
    engine.side.reset()
    engine.step(cached=[(request, [], len(TOKENS), 1)])
    assert engine.at(CPU) == engine.at(DISK) == engine.at(POOL) == set()


def test_a_request_that_has_no_names_is_not_told_of(engine):
    request = engine.request("r", TOKENS, is_nameless=True)
    ids = engine.blocks(len(TOKENS))
    engine.match(request, 0)
    engine.admit(request, ids, 0)
    plan = engine.step(new=[(request, ids, 0, len(TOKENS))])
    engine.side.take(copied(plan.jobs.saves))
    assert engine.planner.index.leading(keys(TOKENS)) == 2
    assert engine.side.take_router_events() == []


def test_what_has_a_time_of_its_own_in_stores_is_told_of_in_host_memory_alone():
    events = RouterEvents(TokenNames(), TOLD)
    request = SimpleNamespace(all_token_ids=TOKENS)
    state = SimpleNamespace(request=request, keys=keys(TOKENS), is_hashed=lambda: True)
    first, second = state.keys[:2]
    events.expect([(Save(1, first, 0, (1, 2), True, 60), state)], [])
    events.expect([(Save(2, second, 1, (3, 4), False), state)], [])
    events.settle(Report(), Settled(copied=[1, 2], stored=[1]), [Added(first), Added(second)])
    events.expect([], [Put(3, second, 1, 60)])
    events.settle(Report(), Settled(stored=[3]), [])
    assert {event.place for event in events.take([])} == {CPU}


def test_a_chunk_that_is_put_as_it_leaves_host_memory_is_told_of_with_its_blocks():
    events = RouterEvents(TokenNames(), TOLD)
    request = SimpleNamespace(all_token_ids=TOKENS)
    state = SimpleNamespace(request=request, keys=keys(TOKENS), is_hashed=lambda: True)
    key = state.keys[0]
    events.expect([(Save(1, key, 0, (1, 2), put=False), state)], [])
    events.settle(Report(), Settled(copied=[1]), [Added(key)])
    events.expect([], [Put(2, key, 0)])  # planned with the eviction, of which the index tells later
    events.settle(Report(), Settled(stored=[2]), [Removed(key)])
    told = events.take([])
    assert [(type(event).__name__, event.place) for event in told] == [
        ("Stored", CPU),
        ("Removed", CPU),
        ("Stored", DISK),
        ("Stored", POOL),
    ]
    assert told[2].blocks == told[0].blocks


class TenantsKeys(RequestKeys):
    def chain(self, request, weights):
        return KeyChain(CHUNK, namespace=namespace({"weights": weights}), tenant="t")


def test_a_tenants_chunks_are_not_told_of():
    engine = Told(request_keys=TenantsKeys)
    _, _, plan = engine.prefill("r", TOKENS)
    engine.side.take(copied(plan.jobs.saves))
    assert engine.side.take_router_events() == []


def test_nothing_is_told_without_the_setting():
    engine = Engine()
    engine.hold(TOKENS)
    assert engine.side.take_router_events() == []


def test_the_setting_names_the_dialect_and_the_pool():
    config = TransferConfig.of(kv_events="vllm-router", kv_events_pool="p", ttl_s=9)
    events = RouterEvents.open(config, TokenNames())
    assert events._stored._places["remote"].pool == "p"
    assert events._stored._ttl_s == 9


@pytest.mark.parametrize("seed", range(20))
def test_routers_believe_what_host_memory_holds_whatever_comes_and_goes(seed):
    chance = random.Random(seed)
    engine = Told(slots=4)
    prompts = {f"p{i}": [1000 * i + k for k in range(chance.choice((8, 16, 24)))] for i in range(6)}
    under_way = []
    for number in range(60):
        name = chance.choice(list(prompts))
        request = engine.request(f"r{number}", prompts[name])
        local = engine.match(request, 0)
        ids = engine.blocks(len(prompts[name]))
        engine.admit(request, ids, local or 0)
        plan = engine.step(new=[(request, ids, 0, len(prompts[name]))] if not local else [])
        under_way += [(job, "loaded") for job in plan.jobs.loads]
        under_way += [(job, "copied") for job in plan.jobs.saves]
        under_way += [(job, "stored") for job in (*plan.jobs.saves, *plan.jobs.puts)]
        while under_way:
            job, kind = under_way.pop(0)
            fails = kind != "stored" and chance.random() < 0.1
            engine.side.take(Report(**{kind: {job.job: 1}}, failed={job.job} if fails else set()))
        engine.side.finish(request, owns_blocks=True)
        index = engine.planner.index
        held = {
            block
            for ids in prompts.values()
            for key, chunk in zip(keys(ids), range(len(ids) // CHUNK), strict=True)
            if key in index
            for block in block_hashes(ids)[chunk * 2 : chunk * 2 + 2]
        }
        assert engine.at(CPU) == held


def test_a_long_load_is_told_of_as_it_arrives(engine):
    engine.store(LONG)
    request = engine.request("r", LONG)
    assert engine.match(request, 0) == 48
    engine.admit(request, engine.blocks(48), 48)
    first, *rest = engine.step().jobs.loads
    engine.side.take(ended([first]))
    assert engine.at(CPU) == set(block_hashes(LONG)[:2])
    engine.side.take(ended(rest))
    assert engine.at(CPU) == chunks_of(LONG)
