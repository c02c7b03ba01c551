import time
from contextlib import closing

import pytest

from benchmarks.slow_line import Pace, SlowLine
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.redis.sliced import SlicedRead
from kvtransfer.stores.redis.url import read_url
from kvtransfer.stores.redis.wire import connection
from kvtransfer.testing import CHUNK

PIECE_BYTES = 2 << 20


class Line:
    """Says what it is asked for, and answers all of it with ``answer``."""

    def __init__(self, is_far, answer=True):
        self.is_far = is_far
        self.parser = self
        self.asked = []
        self.read = 0
        self.answer = answer

    def send_commands(self, commands):
        self.asked.append(len(commands))

    def read_value_into(self, target):
        target[:] = b"\1" * len(target)
        self.read += 1
        return self.answer


@pytest.mark.parametrize(("is_far", "asked"), [(False, [3, 1, 1, 1]), (True, [6])])
def test_the_farther_the_server_the_more_is_under_way(is_far, asked):
    target, line = bytearray(4 * PIECE_BYTES + 1), Line(is_far)
    read = SlicedRead(b"name", memoryview(target), line)
    read.begin([b"STRLEN"])
    assert list(read.replies()) == [True] * 5
    assert line.asked == asked
    assert target == b"\1" * len(target)


def test_what_was_asked_for_is_read_whatever_came_before():
    line = Line(is_far=True, answer=False)
    read = SlicedRead(b"name", memoryview(bytearray(3 * PIECE_BYTES)), line)
    read.begin([])
    assert list(read.replies()) == [False] * 3
    assert line.read == 3


@pytest.mark.parametrize("delay_s", [0.0, 0.05])
def test_a_store_knows_whether_it_is_far_away(server, delay_s):
    with SlowLine(server.port, Pace(delay_s=delay_s)) as line:
        store = open_store(
            server.url.replace(f":{server.port}/", f":{line.port}/"), CHUNK, StoreSettings()
        )
        assert not store.is_far
        store.contains(["a"])
        assert store.is_far or not delay_s
        store.close()


@pytest.mark.parametrize("delay_s", [0.0, 0.05])
def test_a_connection_knows_whether_its_server_is_far_away(server, delay_s):
    with SlowLine(server.port, Pace(delay_s=delay_s)) as line:
        url = read_url(server.url.replace(f":{server.port}/", f":{line.port}/"), StoreSettings())
        wire = url.open_connection(url.hosts[0])
        wire.exchange(lambda _: None, deadline_s=time.monotonic() + 10)
        assert wire.is_far or not delay_s
        wire.disconnect()


@pytest.mark.parametrize("far_s", [0.0, 1e9])
def test_from_a_certain_distance_on_a_store_is_far_away(server, monkeypatch, far_s):
    monkeypatch.setattr(connection, "_FAR_S", far_s)
    with closing(open_store(server.url, CHUNK, StoreSettings())) as store:
        store.contains(["a"])
        assert store.is_far is (far_s == 0)
