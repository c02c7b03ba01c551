from kvtransfer.scheduling.reoffer import EVERY_S, Reoffer
from tests.fake_clock import FakeClock


def test_what_is_touched_is_offered_at_once_and_then_once_in_a_while():
    clock = FakeClock(1000.0)
    again = Reoffer(2, clock)
    again.saved([0, 1])
    assert again.take(9) == []
    again.touch(0, "a", None)
    again.touch(0, "a", None)
    assert again.take(9) == [(0, "a", None)]
    again.touch(0, "a", None)
    clock.now_s += EVERY_S - 1
    again.touch(0, "a", None)
    assert again.take(9) == []
    clock.now_s += 1
    assert again.take(9) == [(0, "a", None)]
    clock.now_s += 2 * EVERY_S
    assert again.take(9) == []  # it was not touched since


def test_a_few_are_taken_at_a_time_and_those_first_that_are_due_first():
    clock = FakeClock(1000.0)
    again = Reoffer(4, clock)
    again.fetched([0])
    again.saved([1, 2, 3])
    for slot, key in enumerate("abcd"):
        again.touch(slot, key)
    assert again.take(2) == [(1, "b", None), (2, "c", None)]
    assert again.take(0) == []
    clock.now_s += EVERY_S
    assert again.take(9) == [(3, "d", None), (0, "a", None)]


def test_a_slot_that_holds_another_chunk_by_then_is_offered_with_that_one():
    again = Reoffer(1, FakeClock(1000.0))
    again.saved([0])
    again.touch(0, "a", None)
    again.saved([0])
    again.touch(0, "b", None)
    assert again.take(9) == [(0, "b", None)]
    assert again.take(9) == []


def test_what_is_offered_lives_as_long_as_any_request_asks_that_touched_it():
    again = Reoffer(3, FakeClock(1000.0))
    again.saved([0, 1, 2])
    for slot, lives_s in enumerate([(60, 30), (30, 60), (60, None)]):
        for ttl_s in lives_s:
            again.touch(slot, "abc"[slot], ttl_s)
    assert [each.ttl_s for each in again.take(9)] == [60, 60, None]
