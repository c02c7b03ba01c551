"""What ends is reported once, and nothing is held any longer than that."""

from __future__ import annotations

import weakref
from concurrent.futures import Future

from kvtransfer.device.cpu import CpuEvent
from kvtransfer.device.failed import FailedEvent
from kvtransfer.metrics import Metrics
from kvtransfer.plan import Load, Put, Report, Save
from kvtransfer.worker.outcomes import Outcomes

KEY = "a" * 32
LOAD, SAVE = Load(1, KEY, 0, False, (4, 5)), Save(2, KEY, 1, (6,))


def test_a_copy_is_reported_once_it_is_done():
    outcomes, loading, saving = Outcomes(Metrics(), block_bytes=[100]), Future(), Future()
    outcomes.add_copy(LOAD, CpuEvent(loading))
    outcomes.add_copy(SAVE, CpuEvent(saving))
    assert not outcomes.take()
    saving.set_result(None)
    assert outcomes.take() == Report(copied={2: 1})
    loading.set_result(None)
    assert outcomes.take() == Report(loaded={1: 1})
    assert not outcomes.take()


def test_bytes_are_counted_by_direction_and_only_where_they_arrived():
    metrics = Metrics()
    outcomes = Outcomes(metrics, block_bytes=[100])
    outcomes.add_copy(LOAD, CpuEvent(done()))
    outcomes.add_copy(SAVE, CpuEvent(done()))
    outcomes.take()
    assert metrics.take() == {"to_device_bytes": 200, "to_host_bytes": 100}
    outcomes.add_copy(LOAD, FailedEvent(RuntimeError("no")))
    outcomes.add_copy(SAVE, FailedEvent(RuntimeError("no")))
    assert outcomes.take() == Report(loaded={1: 1}, copied={2: 1}, failed={1, 2})
    assert metrics.take() == {"load_failed_chunks": 1}


def test_only_errors_are_logged_and_misses_are_not(caplog):
    outcomes = Outcomes(Metrics(), block_bytes=[1])
    outcomes.fail_load(LOAD)
    assert not caplog.records
    outcomes.fail_load(LOAD, RuntimeError("out of streams"))
    assert "out of streams" in caplog.text


def test_saves_and_puts_end_alike():
    outcomes = Outcomes(Metrics(), block_bytes=[1])
    outcomes.end_put(SAVE)
    outcomes.end_put(Put(3, KEY, 2))
    assert outcomes.take() == Report(stored={2: 1, 3: 1})
    outcomes.fail_put(SAVE)
    assert outcomes.take() == Report(stored={2: 1}, unput={2})


def test_what_a_tier_lacks_is_news_by_itself():
    outcomes = Outcomes(Metrics(), block_bytes=[1])
    outcomes.lack("disk", KEY)
    report = outcomes.take()
    assert report
    assert report == Report(absent={("disk", KEY)})
    assert not outcomes.take()


def test_neither_a_reported_event_nor_its_callback_keeps_anything_alive():
    outcomes, works = Outcomes(Metrics(), block_bytes=[1]), (Future(), Future())
    kept, dropped = map(CpuEvent, works)
    outcomes.add_copy(SAVE, kept)  # as an executor keeps what filled a slot
    outcomes.add_copy(LOAD, dropped)
    for work in works:
        work.set_result(None)
    outcomes.take()
    watched = weakref.ref(dropped)
    del dropped
    assert watched() is None
    watched = weakref.ref(outcomes)
    del outcomes
    assert watched() is None
    assert kept.is_done


def done():
    future = Future()
    future.set_result(None)
    return future
