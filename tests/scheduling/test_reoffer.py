from kvtransfer.scheduling.reoffer import EVERY_S, Reoffer
from tests.fake_clock import FakeClock


def test_what_is_touched_is_offered_at_once_and_then_once_in_a_while():
    clock = FakeClock(1000.0)
    again = Reoffer(2, clock)
    again.saved([0, 1])
    assert again.take(9) == []
    again.touch(0, "a")
    again.touch(0, "a")
    assert again.take(9) == [(0, "a")]
    again.touch(0, "a")
    clock.now_s += EVERY_S - 1
    again.touch(0, "a")
    assert again.take(9) == []
    clock.now_s += 1
    assert again.take(9) == [(0, "a")]
    clock.now_s += 2 * EVERY_S
    assert again.take(9) == []  # it was not touched since


def test_a_few_are_taken_at_a_time_and_those_first_that_are_due_first():
    clock = FakeClock(1000.0)
    again = Reoffer(4, clock)
    again.fetched([0])
    again.saved([1, 2, 3])
    for slot, key in enumerate("abcd"):
        again.touch(slot, key)
    assert again.take(2) == [(1, "b"), (2, "c")]
    assert again.take(0) == []
    clock.now_s += EVERY_S
    assert again.take(9) == [(3, "d"), (0, "a")]


def test_a_slot_that_holds_another_chunk_by_then_is_offered_with_that_one():
    again = Reoffer(1, FakeClock(1000.0))
    again.saved([0])
    again.touch(0, "a")
    again.saved([0])
    again.touch(0, "b")
    assert again.take(9) == [(0, "b")]
    assert again.take(9) == []
