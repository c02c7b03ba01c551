from __future__ import annotations

import socket
import ssl
import time

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
