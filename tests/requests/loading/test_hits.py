"""Which prefix of a request can be loaded where the model has several cache groups."""

from __future__ import annotations

import pytest

from kvtransfer.chunks.groups import Groups
from kvtransfer.chunks.keys import piece_key
from kvtransfer.chunks.load_order import LoadOrder
from kvtransfer.chunks.reach import State
from kvtransfer.chunks.tiling import Tiling
from kvtransfer.requests.loading.hits import Hits
from kvtransfer.scheduling.cost.runs import Run
from kvtransfer.scheduling.index import Index
from kvtransfer.scheduling.lookup.located import NOTHING, Located
from kvtransfer.scheduling.planner import Planner

KEYS = [letter * 32 for letter in "abcdef"]
GROUPS = Groups((Tiling(8, 4), Tiling(8, 8, State())))


def opened(slots=16, groups=GROUPS):
    planner = Planner(Index(slots), ranks=1, keep=True, put=True)
    return planner, Hits(planner, groups, ("host", "disk", "remote"))


def stored(*keys, tier="remote"):
    return Located(dict.fromkeys(keys, tier))


def state(chunk):
    return piece_key(KEYS[chunk], 1)


def hold(planner, *keys):
    """Host memory holds them, idle."""
    planner.index.unpin_all(planner.index.claim_all(keys))


def test_a_hit_ends_where_every_group_has_what_it_reads():
    _, hits = opened()
    assert hits.longest(KEYS, stored(*KEYS), 0) == 0
    assert hits.longest(KEYS, stored(*KEYS, state(1), state(3)), 0) == 32
    assert hits.longest(KEYS, stored(*KEYS[:3], state(1), state(3)), 0) == 16
    assert hits.longest(KEYS, stored(*KEYS[1:], state(3)), 0) == 0
    assert hits.longest(KEYS, stored(*KEYS[1:], state(3)), 12) == 32


def test_a_hit_reaches_no_further_than_it_may():
    _, hits = opened()
    located = stored(*KEYS, state(1), state(3))
    assert [hits.longest(KEYS, located, 0, most) for most in (40, 32, 31, 15)] == [32, 32, 16, 0]


def test_host_memory_and_the_store_make_a_hit_together():
    planner, hits = opened()
    hold(planner, KEYS[0], state(1))
    assert hits.longest(KEYS, NOTHING, 0) == 0
    assert hits.longest(KEYS, stored(KEYS[1]), 0) == 16


@pytest.mark.parametrize(("slots", "hit"), [(7, 48), (6, 32), (5, 32), (4, 16), (3, 16), (2, 0)])
def test_a_hit_is_shorter_where_host_memory_has_no_room_for_all_of_it(slots, hit):
    _, hits = opened(slots)
    located = stored(*KEYS, state(1), state(3), state(5))
    assert hits.longest(KEYS, located, 0) == hit


def test_room_counts_only_for_what_is_not_held_and_not_pinned():
    planner, hits = opened(4)
    planner.index.claim_all([KEYS[0], KEYS[1]])
    located = stored(*KEYS, state(1), state(2), state(3))
    assert hits.longest(KEYS, located, 0) == 24


def test_a_chunk_comes_from_the_slowest_tier_of_its_pieces():
    planner, hits = opened()
    hold(planner, KEYS[0], state(2))
    located = Located({KEYS[1]: "disk", KEYS[2]: "remote"})
    assert hits.runs(KEYS, located, 0, 24) == [Run("host", 8), Run("disk", 8), Run("remote", 8)]
    hold(planner, KEYS[2])
    planner.index.forget(planner.index.find_all([state(2)])[0])
    located = Located({KEYS[1]: "disk", state(2): "remote"})
    assert hits.runs(KEYS, located, 4, 24) == [Run("host", 4), Run("disk", 8), Run("remote", 8)]


def test_a_chunk_of_which_no_piece_is_needed_costs_no_more_than_host_memory():
    groups = Groups((Tiling(8, 8, State()),))
    _, hits = opened(groups=groups)
    assert hits.runs(KEYS, stored(KEYS[2]), 0, 24) == [Run("host", 16), Run("remote", 8)]
    order = LoadOrder(groups, KEYS, 24, 0)
    assert hits.runs_of(order, ["disk"]) == [Run("host", 16), Run("disk", 8)]
