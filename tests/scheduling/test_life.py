"""The life of a chunk that several requests have travels with its jobs."""

from __future__ import annotations

import pytest

from kvtransfer.chunks.tiling import Placement
from kvtransfer.plan import Report
from kvtransfer.scheduling.index import Index
from kvtransfer.scheduling.life import longer
from kvtransfer.scheduling.planner import Planner
from kvtransfer.scheduling.reoffer import EVERY_S
from tests.fake_clock import FakeClock

PLACED = [Placement("a", (0,)), Placement("b", (1,))]


@pytest.mark.parametrize(
    ("one", "other", "longest"),
    [(1, 2, 2), (2, 1, 2), (None, 1, None), (1, None, None), (None, None, None)],
)
def test_the_longer_life_holds_and_none_is_the_longest(one, other, longest):
    assert longer(one, other) == longest


def test_a_save_that_puts_says_for_how_long():
    planner = Planner(Index(4), ranks=1, keep=True, put=True)
    assert [save.ttl_s for save in planner.save_all(PLACED, None, 60)] == [60, 60]


def test_a_reoffer_takes_the_life_of_the_request_at_hand():
    clock = FakeClock(1000.0)
    planner = Planner(Index(4), ranks=1, keep=True, put=True, clock=clock)
    (save,) = planner.save_all(PLACED[:1], None, 60)
    planner.settle(Report(copied={save.job: 1}, stored={save.job: 1}))
    for ttl_s in (30, None, 90):
        planner.touch(["a"], ttl_s)
        (put,) = planner.plan_puts()
        assert (put.key, put.ttl_s) == ("a", ttl_s)
        planner.settle(Report(stored={put.job: 1}))
        clock.now_s += EVERY_S


def test_what_is_written_back_lives_as_long_as_any_request_asks():
    planner = Planner(Index(4), ranks=1, keep=True, put=True, margin=1)
    saves = planner.save_all(PLACED, None, 60)
    assert [(save.put, save.ttl_s) for save in saves] == [(False, 60), (False, 60)]
    planner.settle(Report(copied={save.job: 1 for save in saves}))
    planner.touch(["b"], 90)
    assert {put.key: put.ttl_s for put in planner.flush(9)} == {"a": 60, "b": 90}
