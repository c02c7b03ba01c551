from threading import Event

import pytest

from kvtransfer.write_behind import WriteBehind


class Writer:
    """Writes when ``open`` is set."""

    def __init__(self):
        self.written, self.dropped = [], []
        self.open, self.busy = Event(), Event()
        self.open.set()

    def write(self, item):
        self.busy.set()
        self.open.wait(10)
        self.written.append(item)


@pytest.fixture
def writer():
    return Writer()


@pytest.fixture
def line(writer):
    return WriteBehind(writer.write, writer.dropped.append, limit=3, name="test")


def test_items_are_written_in_order(writer, line):
    for item in range(3):
        line.offer(item)
    line.close(10)
    assert (writer.written, writer.dropped) == ([0, 1, 2], [])


def test_it_shows_what_waits(writer, line):
    writer.open.clear()
    line.offer(0)
    writer.busy.wait(10)
    line.offer(1)
    line.offer(2)
    assert line.waiting() == [1, 2]
    writer.open.set()
    line.close(10)
    assert line.waiting() == []


def test_too_long_a_line_loses_its_oldest(writer, line):
    writer.open.clear()
    line.offer(0)
    writer.busy.wait(10)
    for item in range(1, 6):
        line.offer(item)
    assert writer.dropped == [1, 2]
    writer.open.set()
    line.close(10)
    assert writer.written == [0, 3, 4, 5]


def test_what_time_does_not_allow_is_dropped_and_told(writer, line):
    writer.open.clear()
    for item in range(3):
        line.offer(item)
    writer.busy.wait(10)
    with pytest.MonkeyPatch.context() as patch:
        # It ends after the write that is under way, which goes on once the rest was dropped.
        patch.setattr(line, "_drop", lambda item: (writer.dropped.append(item), writer.open.set()))
        line.close(0.01)
    assert (writer.written, writer.dropped) == ([0], [1, 2])


def test_an_exception_costs_its_item_alone(caplog):
    written, dropped = [], []

    def write(item):
        if item in (1, 2):
            raise [TypeError, SystemExit][item - 1]("no")
        written.append(item)

    line = WriteBehind(write, dropped.append, limit=5, name="test")
    for item in range(4):
        line.offer(item)
    line.close(10)
    assert (written, dropped) == ([0, 3], [1, 2])
    assert [record.getMessage().count("TypeError: no") for record in caplog.records] == [1]


def test_it_survives_who_is_told_of_a_drop():
    written = []

    def fail(item):
        raise TypeError(item)

    line = WriteBehind(lambda item: written.append(1 // item), fail, limit=5, name="test")
    for item in (1, 0, 1):
        line.offer(item)
    line.close(10)
    assert written == [1, 1]
