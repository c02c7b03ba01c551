"""Beside tenants that flood host memory, a tenant is served as it is alone with its share of it."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from benchmarks.bench_shares import serve
from kvtransfer.chunks.keys import piece_key
from kvtransfer.policies import POLICIES
from kvtransfer.quotas import HostLimits
from kvtransfer.quotas.fair_policy import FairPolicy
from kvtransfer.quotas.slot_limits import SlotLimits
from kvtransfer.scheduling.index import Index
from tests.fake_clock import FakeClock

SLOTS = 60
ROUNDING = 0.001
"""The default policy compares anew as a share comes to be, which may cost a hit or two."""


def opened(policy, named=None, slots=SLOTS):
    limits = SlotLimits(slots, 1, HostLimits(None, named or {}))
    return Index(slots, tenants=FairPolicy(limits, policy, FakeClock()))


def chats(tenant, seed, requests, people=10):
    """Talks of several turns in random order, each behind one system prompt; questions between."""
    chance = random.Random(seed)
    turns = Counter()
    for number in range(requests):
        person = chance.randrange(people)
        if chance.random() < 0.2:
            own = [f"question{number}_{i}" for i in range(3)]
        else:
            turns[person] += 1
            if turns[person] > 4:
                turns[person] = chance.randrange(1, 3)  # an old talk goes on elsewhere
            own = [f"talk{person}_{i}" for i in range(2 * turns[person])]
        yield [f"{name}.{tenant}" for name in ("system0", "system1", *own)]


def flood(tenant, seed, chunks=24):
    """Texts that never return, as fast as they come."""
    number = 0
    while True:
        yield [f"text{seed}_{number}_{i}.{tenant}" for i in range(chunks)]
        number += 1


def rate(index, asked, beside=(), times=1):
    """The hit rate of the requests ``asked``, with ``times`` of each of ``beside`` between two."""
    hits = chunks = 0
    for keys in asked:
        hits += serve(index, keys)
        chunks += len(keys)
        for other in beside:
            for _ in range(times):
                serve(index, next(other))
    return hits / chunks


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("floods", ["a", "abcde"])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_tenant_is_hit_as_often_as_with_its_share_alone(policy, floods, seed):
    mine = list(chats("mine", seed, 400))
    alone = rate(Index(SLOTS // (1 + len(floods)), policy), mine)
    index, beside = opened(policy), [flood(name, seed) for name in floods]
    for other in beside:  # so that the share is what it is from the first request on
        serve(index, next(other))
    assert rate(index, mine, beside, times=3) >= alone - ROUNDING
    assert alone > 0.25


def test_without_shares_the_flood_takes_what_others_would_be_hit_in():
    mine = list(chats("mine", 0, 400, people=3))
    alone = rate(Index(SLOTS // 2, "lru"), mine)
    assert rate(Index(SLOTS, "lru"), mine, [flood("a", 0)], times=3) < 0.6 * alone


@pytest.mark.parametrize("named", [{"a": 20}, {"mine": 40}, {"mine": 50, "a": 20}])
def test_what_a_quota_forbids_one_tenant_is_the_others(named):
    mine = list(chats("mine", 0, 400))
    index, beside = opened("lru", named), [flood("a", 0)]
    serve(index, next(beside[0]))
    share = min(named.get("mine", SLOTS), SLOTS - named.get("a", SLOTS // 2))
    assert rate(index, mine, beside, times=3) >= rate(Index(share, "lru"), mine)


def test_a_lone_tenant_may_use_all_that_its_quota_allows():
    mine = list(chats("mine", 0, 400))
    assert rate(opened("lru"), mine) == rate(Index(SLOTS, "lru"), mine)
    assert rate(opened("lru", {"mine": 25}), mine) == rate(Index(25, "lru"), mine)


def test_what_a_tenant_leaves_is_anothers_until_it_is_wanted_back():
    index = opened("lru")
    serve(index, next(flood("small", 0, chunks=10)))
    large = flood("large", 0, chunks=40)
    serve(index, next(large))
    serve(index, next(large))
    assert index.tenant_bytes()["other"] == SLOTS
    assert index.leading(next(flood("small", 0, chunks=10))) == 10
    serve(index, next(flood("small", 1, chunks=25)))
    assert index.leading(next(flood("small", 1, chunks=25))) == 25


def test_chunks_in_use_above_a_share_let_no_one_else_be_evicted():
    """The flood pins all that it holds; it claims nothing that another tenant holds of its share."""
    index = opened("lru")
    serve(index, next(flood("mine", 0, chunks=SLOTS // 2)))
    index.claim_all(next(flood("a", 0, chunks=SLOTS // 2)))
    assert (index.room, index.room_in("a"), index.room_in("mine")) == (SLOTS // 2, 0, SLOTS // 2)


def test_a_tenant_that_is_idle_gives_way_first():
    clock = FakeClock()
    limits = SlotLimits(SLOTS, 1, HostLimits(None, {}, idle_after_s=60.0))
    index = Index(SLOTS, tenants=FairPolicy(limits, "lru", clock))
    gone = next(flood("gone", 0, chunks=30))
    serve(index, gone)
    clock.now_s = 61.0
    mine, later = flood("mine", 0, chunks=30), flood("mine", 1, chunks=31)
    serve(index, next(mine))
    serve(index, next(later))
    assert index.leading(gone) == 0
    assert sum(key in index for key in next(flood("mine", 0, chunks=30))) == 29
    serve(index, gone)
    assert index.leading(gone) == 30  # it has a share again


def test_of_more_tenants_than_slots_the_latest_have_a_share():
    index = opened("lru")
    for number in range(3 * SLOTS):
        assert serve(index, [f"x.{number}"]) == 0
    held = [number for number in range(3 * SLOTS) if f"x.{number}" in index]
    assert held == list(range(2 * SLOTS, 3 * SLOTS))


@pytest.mark.parametrize("policy", POLICIES)
def test_a_tenant_that_grows_is_evicted_from_by_the_policy_from_then_on(policy):
    """With many slots, a tenant of few chunks is evicted from by LRU."""
    slots = 640
    index = opened(policy, {"mine": 40}, slots)
    mine = list(chats("mine", 0, 400))
    beside = rate(index, mine, [flood("a", 0)])
    assert beside >= rate(Index(40, policy), mine) - 0.02


def test_a_quota_is_of_slots_whatever_pieces_they_hold():
    """Each cache group's piece of a chunk takes a slot of its tenant's."""
    index = opened("lru", {"mine": 5})
    chunks = [f"{number:032x}.mine" for number in range(4)]
    pieces = [piece_key(key, group) for key in chunks for group in (0, 1)]
    assert len(index.claim_all(pieces)) == 5
    assert index.is_at_quota(chunks[0])
