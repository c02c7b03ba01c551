import pytest

from kvtransfer.requests.router_events.event import Place, Removed, Stored
from kvtransfer.requests.router_events.stored_chunks import StoredChunks
from tests.fake_clock import FakeClock
from tests.requests.router_events.replayed import blocks

DISK, POOL = Place("STORAGE", "LOCAL"), Place("STORAGE", "REMOTE", "pool")
A, B = blocks(1, 2), blocks(3, 4)


@pytest.fixture
def clock():
    return FakeClock()


def opened(clock, ttl_s=None, most_chunks=9):
    return StoredChunks({"disk": DISK, "remote": POOL}, ttl_s, clock, most_chunks)


def put(stored, job, key, chunk, unput=(), absent=()):
    stored.expect(job, key, chunk)
    return [*stored.lack(absent), *stored.end([job], set(unput))]


def test_what_was_put_is_in_every_tier_that_took_it(clock):
    assert put(opened(clock), 1, "a", A) == [Stored(DISK, A), Stored(POOL, A)]
    assert put(opened(clock), 1, "a", A, absent=[("disk", "a")]) == [Stored(POOL, A)]


def test_a_put_that_was_dropped_tells_nothing(clock):
    stored = opened(clock)
    assert put(stored, 1, "a", A, unput=[1]) == []
    put(stored, 2, "a", A)
    assert put(stored, 3, "a", A, unput=[3]) == []  # what was there may still be there


def test_one_rank_that_could_not_put_its_shard_is_enough(clock):
    stored = opened(clock)
    stored.expect(1, "a", A)
    assert list(stored.lack([("remote", "a")])) == []  # of one rank, while another still puts
    assert list(stored.end([], {7})) == []
    assert list(stored.end([1], set())) == [Stored(DISK, A)]


def test_a_tier_that_no_longer_takes_a_chunk_lacks_it(clock):
    stored = opened(clock)
    put(stored, 1, "a", A)
    assert put(stored, 2, "a", A, absent=[("remote", "a")]) == [Removed(POOL, A.hashes)]


def test_an_evicted_entry_is_removed_once_and_others_entries_are_not_ours(clock):
    stored = opened(clock)
    put(stored, 1, "a", A)
    gone = [("disk", "a"), ("disk", "a"), ("disk", "theirs"), ("elsewhere", "a")]
    assert list(stored.lack(gone)) == [Removed(DISK, A.hashes)]


def test_an_entry_is_over_when_its_time_is_counted_from_the_planning_of_its_put(clock):
    stored = opened(clock, ttl_s=10)
    stored.expect(1, "a", A)
    clock.now_s = 4.0
    assert len(list(stored.end([1], set()))) == 2
    clock.now_s = 9.9
    assert list(stored.expire()) == []
    clock.now_s = 10.0
    assert list(stored.expire()) == [Removed(DISK, A.hashes), Removed(POOL, A.hashes)]


def test_a_put_begins_a_new_time_to_live(clock):
    stored = opened(clock, ttl_s=10)
    put(stored, 1, "a", A)
    clock.now_s = 5.0
    assert put(stored, 2, "a", A) == []
    clock.now_s = 10.0
    assert list(stored.expire()) == []
    clock.now_s = 15.0
    assert len(list(stored.expire())) == 2


def test_a_put_that_is_told_of_when_it_is_over_is_not_published(clock):
    stored = opened(clock, ttl_s=10)
    stored.expect(1, "a", A)
    clock.now_s = 11.0  # an idle engine runs no step, and hears nothing
    assert list(stored.end([1], set())) == []


def test_what_a_lookup_does_not_find_is_removed(clock):
    stored = opened(clock)
    put(stored, 1, "a", A)
    put(stored, 2, "b", B)
    clock.now_s = 2.0
    assert list(stored.deny(["a", "b"], {"a": "disk"}, 1.0)) == [
        Removed(DISK, B.hashes),
        Removed(POOL, B.hashes),
    ]
    assert list(stored.deny(["a"], {"a": "remote"}, 1.0)) == [Removed(DISK, A.hashes)]


def test_a_question_from_before_a_put_tells_nothing_of_it(clock):
    stored = opened(clock)
    clock.now_s = 2.0
    put(stored, 1, "a", A)
    assert list(stored.deny(["a"], {}, 1.0)) == []


def test_the_oldest_are_forgotten_and_routers_hear_of_it(clock):
    stored = opened(clock, most_chunks=1)
    put(stored, 1, "a", A)
    assert put(stored, 2, "b", B) == [
        Stored(DISK, B),
        Removed(DISK, A.hashes),
        Stored(POOL, B),
        Removed(POOL, A.hashes),
    ]


def test_what_routers_have_dropped_is_told_again_when_it_is_put_again(clock):
    stored = opened(clock)
    put(stored, 1, "a", A)
    stored.forget_own()
    assert list(stored.lack([("disk", "a")])) == []
    assert put(stored, 2, "a", A) == [Stored(DISK, A)]


def test_what_is_withdrawn_is_gone_and_puts_under_way_tell_nothing(clock):
    stored = opened(clock)
    put(stored, 1, "a", A)
    stored.expect(2, "b", B)
    assert list(stored.withdraw()) == [Removed(DISK, A.hashes), Removed(POOL, A.hashes)]
    assert list(stored.end([2], set())) == []
    assert list(stored.lack([("disk", "a")])) == []
