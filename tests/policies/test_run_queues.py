"""In which order runs leave, how they age, and which can't leave."""

from __future__ import annotations

import pytest

from kvtransfer.policies.gittins import AGE_LIMITS, AGES
from kvtransfer.policies.run import KINDS, Run
from kvtransfer.policies.run_queues import RunQueues


@pytest.fixture
def queues():
    return RunQueues()


def added(queues, chunks=1, idle=True, uses=1, is_frequent=False):
    """A run that is requested now, with its chunks in slots that nothing pins."""
    run = Run(0, uses, queues.now, is_last=False, is_frequent=is_frequent)
    run.chunks = chunks
    run.idle = list(range(chunks)) if idle else []
    queues.add(run)
    return run


def test_where_nothing_can_be_evicted_there_is_no_next_run(queues):
    run = added(queues, idle=False)
    assert queues.least_recent() is queues.lowest_index() is None
    assert queues.least_recent_of(is_frequent=False) is None
    queues.enqueue(run)
    assert queues.least_recent() is queues.lowest_index() is run
    queues.dequeue(run)
    assert queues.least_recent() is queues.lowest_index() is None


def test_the_least_recent_run_goes_first_whatever_its_kind(queues):
    old = added(queues, uses=3)
    queues.advance(known=1, new=0)
    new = added(queues)
    assert queues.least_recent() is old
    queues.dequeue(old)
    assert queues.least_recent() is new


def test_arcs_lists_have_queues_of_their_own(queues):
    recent = added(queues)
    queues.advance(known=1, new=0)
    frequent = added(queues, is_frequent=True)
    assert queues.least_recent_of(is_frequent=True) is frequent
    assert queues.least_recent_of(is_frequent=False) is recent
    queues.dequeue(frequent)
    assert queues.least_recent_of(is_frequent=True) is None


def test_a_request_leaves_from_its_end(queues):
    first, middle, last = (added(queues) for _ in range(3))
    first.following, middle.following = middle, last
    assert queues.least_recent() is queues.lowest_index() is last
    last.idle = []
    queues.dequeue(last)
    assert queues.least_recent() is queues.lowest_index() is middle


def test_a_run_gets_older_once_the_clock_reaches_the_limit(queues):
    run = added(queues)
    queues.advance(known=AGE_LIMITS[0] - 1, new=0)
    assert run.age == 0
    queues.advance(known=1, new=0)
    assert run.age == 1
    for limit in AGE_LIMITS:  # one bucket a request
        queues.advance(known=limit, new=0)
    assert run.age == AGES - 1
    assert queues.least_recent() is queues.lowest_index() is run


def test_a_new_chunk_ages_runs_less_than_a_known_one(queues):
    run = added(queues)
    queues.advance(known=0, new=AGE_LIMITS[0])
    assert 0 < queues.now < AGE_LIMITS[0]
    assert run.age == 0


def test_a_run_is_gone_with_its_last_chunk(queues):
    run = added(queues, chunks=2, idle=False)
    queues.add_chunk(run)
    queues.remove_chunks(run, 2)
    queues.advance(known=AGE_LIMITS[0], new=0)
    assert (run.chunks, run.age) == (1, 1)
    queues.remove_chunks(run, 1)
    queues.advance(known=AGE_LIMITS[1], new=0)
    assert (run.chunks, run.age) == (0, 1)


def test_a_run_that_can_be_evicted_now_may_be_the_next(queues):
    old = added(queues, idle=False)
    queues.advance(known=AGE_LIMITS[0], new=0)
    new = added(queues)
    assert queues.lowest_index() is new
    old.idle = [0]
    queues.enqueue(old)
    assert queues.lowest_index() is old


def test_what_is_requested_again_stays_longer_than_what_is_not(queues):
    for _ in range(2 * KINDS):
        for uses, hits in ((1, 90), (2, 0)):
            run = added(queues, chunks=100, idle=False, uses=uses)
            queues.count_hits(run, hits)
            queues.remove_chunks(run, 100)
        queues.advance(known=0, new=0)
    never, again = added(queues, uses=2), added(queues, uses=1)
    assert queues.lowest_index() is never
    assert queues.reuse_probability(again) > queues.reuse_probability(never)
