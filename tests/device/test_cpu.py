"""The CPU's streams and events."""

from threading import Event, current_thread

import pytest

from kvtransfer.device.cpu import CpuDevice

FOREVER_S = 30.0


@pytest.fixture
def stream():
    made = CpuDevice().stream("copies")
    yield made
    made.close()


def fail():
    raise RuntimeError("out of blocks")


def test_the_end_is_told_once_by_the_thread_that_copied(stream):
    gate, told = Event(), []
    event = stream.launch(lambda: gate.wait(FOREVER_S) or None)
    event.on_done(lambda: told.append(current_thread().name))
    assert not told
    gate.set()
    stream.close()  # after which nothing is told any more
    assert len(told) == 1
    assert told[0].startswith("copies")


def test_a_failure_is_told_too_and_is_known_by_then(stream):
    gate, told = Event(), []
    first = stream.launch(lambda: gate.wait(FOREVER_S) or None)
    failed = stream.launch(fail)
    behind = stream.launch(lambda: told.append("never"), [first, failed])
    for event in (failed, behind):
        event.on_done(lambda event=event: told.append((event.is_done, str(event.error))))
    gate.set()
    stream.close()
    assert told == [(True, "out of blocks")] * 2


def test_what_is_over_is_told_at_once(stream):
    told = []
    done = CpuDevice().compute_event()
    done.wait()
    done.on_done(lambda: told.append(current_thread()))
    assert told == [current_thread()]
