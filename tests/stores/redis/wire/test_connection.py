from __future__ import annotations

import time
import tracemalloc

import pytest
import redis

from kvtransfer.stores.redis.wire.batch import Batch, command
from kvtransfer.stores.redis.wire.connection import TCPConnection
from kvtransfer.stores.redis.wire.parser import ReplyParser
from kvtransfer.stores.redis.wire.read_buffer import ReadBuffer
from kvtransfer.stores.redis.wire.sliced import SlicedValue

PAYLOAD = bytes(range(256)) * 300


def test_no_copy_of_a_payload_is_made(server):
    payload, target = memoryview(bytearray(2 << 20)), memoryview(bytearray(2 << 20))
    connection = connect(server)
    written = (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % len(payload), payload, b"\r\n")
    there_and_back = Batch([written, command(b"STRLEN", b"k")], SlicedValue(b"k", target, 1))

    connection.execute(there_and_back, time.monotonic() + 5)
    tracemalloc.start()
    try:
        replies = connection.execute(there_and_back, time.monotonic() + 5)
        assert replies == [b"OK", len(payload), True]
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 64 << 10
    assert target == payload
    connection.disconnect()


def connect(server, **options):
    pool = redis.ConnectionPool.from_url(server.url, connection_class=TCPConnection, **options)
    return pool.get_connection()


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py_talks_over_it_as_ever(server, protocol):
    pool = redis.ConnectionPool.from_url(
        server.url, connection_class=TCPConnection, protocol=protocol
    )
    with redis.Redis(connection_pool=pool) as client:
        client.set("k", PAYLOAD)
        client.hset("h", mapping={"a": "1"})
        assert client.get("k") == PAYLOAD
        assert client.get("absent") is None
        assert client.hgetall("h") == {b"a": b"1"}
        assert client.mget("k", "absent") == [PAYLOAD, None]
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            client.get("h")
        with client.pipeline() as pipe:
            assert pipe.set("p", 1).incr("p").execute() == [True, 2]
    pool.disconnect()


def test_what_we_use_of_redis_py_is_where_it_was():
    connection = TCPConnection()
    assert isinstance(connection._parser, ReplyParser)
    assert connection._parser._buffer is None
    assert not connection.is_connected
    assert connection._sock is None
    assert set(dir(redis._parsers.socket.SocketBuffer)) <= set(dir(ReadBuffer)) | {
        "_read_from_socket",
        "unread_bytes",
    }
    assert issubclass(redis.SSLConnection, redis.Connection)
