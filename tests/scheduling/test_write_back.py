"""Which chunks are flushed as they leave host memory, which at the end, and which are lost."""

from __future__ import annotations

from kvtransfer.quotas import HostLimits
from kvtransfer.quotas.fair_policy import FairPolicy
from kvtransfer.quotas.slot_limits import SlotLimits
from kvtransfer.scheduling.index import Index
from kvtransfer.scheduling.write_back import WriteBack
from tests.fake_clock import FakeClock


def write_back(margin=1, slots=4, admit_chance=0.0):
    """Over LRU, so that a test can say what leaves next."""
    index = Index(slots, "lru")
    return index, WriteBack(index, margin, admit_chance)


def saved(index, back, keys, dirty=True):
    """Slots of ``keys``, which nothing uses any more."""
    index.note_request(keys)
    slots = index.claim_all(keys)
    back.note_claimed(slots)
    if dirty:
        back.mark_dirty(slots, keys)
    index.unpin_all(slots)
    return slots


def test_without_a_margin_nothing_is_put_later():
    assert not write_back(margin=0)[1].is_on
    assert write_back(margin=1)[1].is_on


def test_nothing_leaves_while_enough_slots_are_free():
    index, back = write_back(margin=1)
    saved(index, back, "abc")
    assert back.flush_leaving(0) == []
    (slot,) = saved(index, back, "d")
    assert back.is_dirty(slot)
    assert back.flush_leaving(1) == []  # one is about to be free
    assert [key for _, key, _ in back.flush_leaving(0)] != []


def test_what_leaves_is_flushed_pinned_and_no_longer_found():
    index, back = write_back(margin=2)
    slots = saved(index, back, "abcd")
    flushes = back.flush_leaving(0)
    assert len(flushes) == 2
    for slot, key, _ in flushes:
        assert slots["abcd".index(key)] == slot
        assert key not in index
        assert not back.is_dirty(slot)
    assert index.free == 0
    assert back.flush_leaving(2) == []
    index.unpin_all(slot for slot, _, _ in flushes)
    assert index.free == 2
    assert back.take_lost() == 0


def test_a_clean_chunk_leaves_without_a_flush():
    index, back = write_back(margin=2)
    saved(index, back, "abcd", dirty=False)
    assert back.flush_leaving(0) == []
    assert index.free == 2


def test_a_chunk_that_will_hardly_be_asked_for_is_not_worth_a_flush():
    index, back = write_back(margin=1, admit_chance=1.1)
    saved(index, back, "abcd")
    assert back.flush_leaving(0) == []
    assert index.free == 1
    assert back.take_lost() == 0


def test_a_tenant_near_its_quota_is_flushed_ahead_of_need():
    limits = SlotLimits(64, 1, HostLimits(None, {"a": 32}))
    index = Index(64, tenants=FairPolicy(limits, "lru", FakeClock()))
    back = WriteBack(index, 1, 0.0)
    saved(index, back, [f"{i}.a" for i in range(30)])
    assert back.flush_leaving(0) == []
    saved(index, back, ["30.a", "31.a"])
    assert [key for _, key, _ in back.flush_leaving(0)] == ["0.a", "1.a"]
    saved(index, back, ["32.a", "33.a", "34.a"])
    assert back.take_lost() == 1  # room for it was needed at once
    assert WriteBack(index, 0, 0.0).flush_leaving(0) == []


def test_pinned_chunks_stay():
    index, back = write_back(margin=4, slots=5)
    saved(index, back, "abcd")
    pinned = index.pin_all("abcd")
    assert back.flush_leaving(0) == []
    index.unpin(pinned[2])
    assert back.flush_leaving(0) == [(pinned[2], "c", None)]


def test_a_dirty_chunk_whose_slot_is_taken_is_lost_and_told_once():
    index, back = write_back(slots=2)
    saved(index, back, "ab")
    saved(index, back, "c", dirty=False)
    assert (back.take_lost(), back.take_lost()) == (1, 0)
    assert len(back.flush_rest(9)) == 1


def test_bytes_that_are_no_good_are_not_flushed_and_not_lost():
    index, back = write_back(slots=2)
    slots = saved(index, back, "ab")
    back.discard(slots[0])
    back.discard(slots[0])
    assert back.flush_rest(9) == [(slots[1], "b", None)]
    saved(index, back, "c", dirty=False)
    assert back.take_lost() == 0


def test_the_rest_is_flushed_a_few_at_a_time_and_stays_found():
    index, back = write_back()
    slots = saved(index, back, "abc")
    assert back.flush_rest(0) == []
    assert back.flush_rest(2) == [(slots[0], "a", None), (slots[1], "b", None)]
    assert index.pins("abc") == [1, 1, 0]
    assert back.flush_rest(2) == [(slots[2], "c", None)]
    assert back.flush_rest(2) == []


def test_a_forgotten_chunk_is_not_part_of_the_rest():
    index, back = write_back()
    slots = saved(index, back, "ab")
    index.forget(slots[0])
    assert back.flush_rest(9) == [(slots[1], "b", None)]


def test_a_dirty_chunk_lives_as_long_as_any_request_asks_that_has_it():
    index, back = write_back()
    slots = saved(index, back, "abc", dirty=False)
    back.mark_dirty(slots, "abc", 60)
    back.touch(slots[0], 30)
    back.touch(slots[1], 90)
    back.touch(slots[2], None)
    assert [each.ttl_s for each in back.flush_rest(9)] == [60, 90, None]
    back.touch(slots[0], 30)  # which is not dirty any more
    assert back.flush_rest(9) == []
