from __future__ import annotations

import random
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from kvtransfer.stores.redis.wire.read_buffer import ReadBuffer


def test_a_deadline_bounds_a_dribble_as_a_whole():
    near, far = socket.socketpair()
    with near, far:
        read_buffer = ReadBuffer(near, 5.0)
        read_buffer.begin(time.monotonic() + 0.2)
        far.sendall(b"$5\r\nab")
        assert read_buffer.readline() == b"$5"
        with pytest.raises(TimeoutError):
            read_buffer.read_into(memoryview(bytearray(5)))
        read_buffer.end()
        assert near.gettimeout() == 5.0


def test_an_idle_tls_connection_is_seen_to_be_clean():
    near, far = socket.socketpair()
    with near, far:

        class WantsRead:
            def settimeout(self, _):
                pass

            def recv(self, _):
                raise ssl.SSLWantReadError

        assert not ReadBuffer(WantsRead(), 1.0).can_read(0)


@pytest.mark.parametrize("sent_bytes", [1 << 14, 3 << 20])
@pytest.mark.parametrize("nbytes", [0, 1, 16 << 10, 512 << 10, (2 << 20) + 7])
def test_a_value_is_taken_in_order_in_parts_that_a_cache_holds(nbytes, sent_bytes):
    value = random.Random(nbytes).randbytes(nbytes)
    near, far = socket.socketpair()
    with near, far, ThreadPoolExecutor(1) as thread:
        sending = thread.submit(send, far, b"$%d\r\n%b\r\n+OK\r\n" % (nbytes, value), sent_bytes)
        read_buffer = ReadBuffer(near, 5.0)
        assert read_buffer.readline() == b"$%d" % nbytes
        target, taken = memoryview(bytearray(nbytes)), []
        read_buffer.read_into(target, lambda part: taken.append(bytes(part)))
        assert b"".join(taken) == target == value
        assert all(len(part) < 2 << 20 for part in taken)
        assert len(taken) <= nbytes // (512 << 10) + 1
        assert read_buffer.readline() == b"+OK"
        sending.result()


def send(line, data, at_once_bytes):
    for start in range(0, len(data), at_once_bytes):
        line.sendall(data[start : start + at_once_bytes])
