import time
from contextlib import closing
from types import SimpleNamespace

import pytest
import redis

from benchmarks.slow_line import Pace, SlowLine
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.redis.url import read_url
from kvtransfer.stores.redis.wire import connection
from kvtransfer.stores.redis.wire.batch import Batch, command
from kvtransfer.stores.redis.wire.sliced import SlicedValue
from kvtransfer.testing import CHUNK
from tests.fake_clock import FakeClock

PIECE_BYTES = 2 << 20


def slices_read(value, length, is_far):
    """How many slices were asked for before each place, and the places."""
    read = value.reading(is_far=is_far)
    asked, parts = [len(read.first)], []
    for part in read.parts(length):
        parts.append(part)
        asked += [1] * len(read.next_ask())
    return asked, parts


@pytest.mark.parametrize(("is_far", "asked"), [(False, [2, 1, 1, 1]), (True, [5])])
def test_the_farther_the_server_the_more_is_under_way(is_far, asked):
    target = bytearray(4 * PIECE_BYTES + 1)
    found, parts = slices_read(SlicedValue(b"name", memoryview(target), 0), len(target), is_far)
    for part in parts:
        part[:] = b"\1" * len(part)
    assert found == asked
    assert [len(part) for part in parts] == [*[PIECE_BYTES] * 4, 1]
    assert target == b"\1" * len(target)


@pytest.mark.parametrize("length", [None, b"OK", -1, 3 * PIECE_BYTES + 1, 1 << 70])
def test_what_does_not_fit_has_no_place_and_is_not_asked_for_any_further(length):
    value = SlicedValue(b"name", memoryview(bytearray(3 * PIECE_BYTES)), 0)
    asked, parts = slices_read(value, length, is_far=False)
    assert asked == [2]
    assert [len(part) for part in parts] == [0, 0]


@pytest.mark.parametrize("length", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES - 1])
def test_a_shorter_value_fills_the_front(length):
    value = SlicedValue(b"name", memoryview(bytearray(3 * PIECE_BYTES)), 0)
    _, parts = slices_read(value, length, is_far=False)
    assert sum(len(part) for part in parts) == length


@pytest.mark.parametrize("delay_s", [0.0, 0.05])
def test_a_store_knows_whether_it_is_far_away(server, delay_s):
    with SlowLine(server.port, Pace(delay_s=delay_s)) as line:
        store = open_store(
            server.url.replace(f":{server.port}/", f":{line.port}/"), CHUNK, StoreSettings()
        )
        assert store.parallelism == 1
        store.contains(["a"])
        assert store.parallelism > 1 or not delay_s
        store.close()


@pytest.mark.parametrize("delay_s", [0.0, 0.05])
def test_a_connection_knows_whether_its_server_is_far_away(server, delay_s):
    with SlowLine(server.port, Pace(delay_s=delay_s)) as line:
        url = read_url(server.url.replace(f":{server.port}/", f":{line.port}/"), StoreSettings())
        wire = url.open_connection(url.hosts[0])
        wire.execute(Batch([command(b"PING")]), time.monotonic() + 10)
        assert wire.is_far or not delay_s
        wire.disconnect()


@pytest.mark.parametrize(
    ("late_s", "is_far"),
    [([0], False), ([1, 0], False), ([1, 1, 1, 0], False), ([1, 1, 1, 1], True)],
)
def test_a_server_is_far_away_if_no_answer_comes_soon(server, monkeypatch, late_s, is_far):
    """The first of ``late_s`` is how late it is to connect, the others are how late it answers."""
    late, clock = iter(late_s), FakeClock()

    class Late(connection.TCPConnection):
        def connect(self):
            super().connect()
            clock.now_s += next(late)

        def send(self, commands, prefix=b""):
            super().send(commands, prefix)
            clock.now_s += next(late, 0)

    monkeypatch.setattr(connection, "time", SimpleNamespace(monotonic=clock))
    wire = redis.ConnectionPool.from_url(server.url, connection_class=Late).make_connection()
    assert wire.execute(Batch([command(b"PING")]), time.monotonic() + 10) == [b"PONG"]
    assert wire.is_far is is_far
    wire.disconnect()


@pytest.mark.parametrize("far_s", [0.0, 1e9])
def test_from_a_certain_distance_on_a_store_is_far_away(server, monkeypatch, far_s):
    monkeypatch.setattr(connection, "_FAR_S", far_s)
    with closing(open_store(server.url, CHUNK, StoreSettings())) as store:
        store.contains(["a"])
        assert (store.parallelism > 1) is (far_s == 0)


@pytest.mark.parametrize(
    ("replies", "filled_bytes"),
    [([5, True], 5), ([5, True, False], 0), ([0, True], 0), ([b"OK", True], 0), ([5, None], 0)],
)
def test_it_says_how_much_was_filled(replies, filled_bytes):
    value = SlicedValue(b"name", memoryview(bytearray(8)), 0)
    assert value.filled_bytes(replies) == filled_bytes
