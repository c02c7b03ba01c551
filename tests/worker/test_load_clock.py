from __future__ import annotations

from concurrent.futures import Future
from itertools import count

from kvtransfer.device.cpu import CpuEvent
from kvtransfer.metrics import Metrics
from kvtransfer.plan import Load, LoadTimes, Report, Took
from kvtransfer.worker.load_clock import LoadClock
from kvtransfer.worker.outcomes import Outcomes

TIMED = Load(1, "a" * 32, 0, True, (4, 5), is_timed=True)
UNTIMED = TIMED._replace(job=2, is_timed=False)


def test_fetch_and_copy_are_noted_until_they_are_taken():
    clock = LoadClock(count(10).__next__)
    clock.end_fetch(TIMED, 3.0, 50)
    clock.begin_copy(1, 200)
    clock.end_copy(1)
    clock.end_copy(1)
    assert clock.take(1) == LoadTimes(Took(7.0, 10, 50), Took(11, 12, 200))
    assert clock.take(1) == LoadTimes()


def test_a_copy_is_over_for_whoever_sees_it_first():
    """The thread that reports may see that it is done before the stream's own thread says so."""
    clock = LoadClock(count().__next__)
    clock.begin_copy(1, 200)
    assert clock.take(1) == LoadTimes(copy=Took(0, 1, 200))
    clock.end_copy(1)
    assert clock.take(1) == LoadTimes()


def test_only_timed_loads_are_reported_with_their_times():
    outcomes, copies = Outcomes(Metrics(), block_bytes=[100]), [Future(), Future()]
    for load, copy in zip((TIMED, UNTIMED), copies, strict=True):
        outcomes.clock.end_fetch(load, 1.0, 50)
        outcomes.add_copy(load, CpuEvent(copy))
        copy.set_result(None)
    report = outcomes.take()
    assert report.loaded == {1: 1, 2: 1}
    assert report.times.keys() == {1}
    fetch, copied = report.times[1]
    assert (fetch.nbytes, copied.nbytes) == (50, 200)
    assert fetch.ended_s <= copied.began_s <= copied.ended_s


def test_a_load_that_fails_before_it_is_copied_has_no_copy():
    outcomes = Outcomes(Metrics(), block_bytes=[100])
    outcomes.fail_load(TIMED)
    assert outcomes.take() == Report(loaded={1: 1}, failed={1}, times={1: LoadTimes()})


def test_ranks_together_take_from_the_first_begin_to_the_last_end():
    one = Report(times={1: LoadTimes(Took(2, 5, 10)), 2: LoadTimes()})
    one.add(Report(times={1: LoadTimes(Took(1, 4, 10), Took(6, 7, 20))}))
    assert one.times == {1: LoadTimes(Took(1, 5, 20), Took(6, 7, 20)), 2: LoadTimes()}
