from __future__ import annotations

import socket
from contextlib import suppress
from threading import Thread
from types import SimpleNamespace

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from redis._parsers.encoders import Encoder

from kvtransfer.stores.redis.wire.parser import ReplyParser, WrongLengthError
from tests.stores.redis.wire.values import read_value_into


class Far:
    """The far end of a connection, which sends what it is told in pieces of any size."""

    def __init__(self, replies, sizes=(1 << 20,)):
        self.near, self._far = socket.socketpair()
        self._thread = Thread(target=self._send, args=(replies, sizes))

    def _send(self, replies, sizes):
        at = turn = 0
        with suppress(OSError):  # the near end may leave before it has read all
            while at < len(replies):
                size = sizes[turn % len(sizes)]
                self._far.sendall(replies[at : at + size])
                at, turn = at + size, turn + 1

    def __enter__(self):
        self._thread.start()
        return self.near

    def __exit__(self, *_):
        self.near.close()
        self._thread.join()
        self._far.close()


def parser_on(sock):
    parser = ReplyParser(socket_read_size=65536)
    sock.settimeout(2.0)
    encoder = Encoder("utf-8", "strict", decode_responses=False)
    parser.on_connect(
        SimpleNamespace(_sock=sock, socket_timeout=2.0, deadline_s=None, encoder=encoder)
    )
    return parser


def bulk(value):
    return b"$%d\r\n%b\r\n" % (len(value), value)


replies = st.lists(
    st.one_of(
        st.sampled_from(
            [
                (b"_\r\n", False),
                (b"$-1\r\n", False),
                (b"-ERR no\r\n", redis.ResponseError),
                (b"-LOADING x\r\n", redis.exceptions.BusyLoadingError),
                (b">2\r\n+invalidate\r\n*1\r\n+a\r\n" + bulk(b"0123456789"), True),
            ]
        ),
        st.integers(0, 40_000).map(
            lambda n: (bulk(b"x" * n), True if n == 10 else WrongLengthError)
        ),
        st.just((bulk(b"0123456789"), True)),
    ),
    max_size=6,
)


@settings(deadline=None, max_examples=150)
@given(replies=replies, sizes=st.lists(st.integers(1, 20_000), min_size=1, max_size=4))
def test_each_reply_is_taken_for_what_it_is_however_it_arrives(replies, sizes):
    stream = b"".join(reply for reply, _ in replies) + b":7\r\n"
    if len(stream) > 5000:
        sizes = [max(size, 100) for size in sizes]
    with Far(stream, sizes) as sock:
        parser = parser_on(sock)
        for _, expected in replies:
            if (
                expected is redis.exceptions.BusyLoadingError
            ):  # redis-py raises what ends a connection
                with pytest.raises(expected):
                    read_value_into(parser, memoryview(bytearray(10)))
                return
            target = bytearray(10)
            answer = read_value_into(parser, memoryview(target))
            if isinstance(expected, bool):
                assert answer is expected
                assert not expected or target in (b"0123456789", b"x" * 10)
            else:
                assert isinstance(answer, expected)
        assert parser.read_reply() == 7


@given(counts=st.lists(st.integers(0, 12), min_size=1, max_size=300), size=st.integers(1, 700))
@settings(deadline=None, max_examples=50)
def test_counts_are_read_whether_or_not_they_have_one_digit(counts, size):
    stream = b"".join(b":%d\r\n" % count for count in counts) + b"+OK\r\n"
    with Far(stream, [size]) as sock:
        parser = parser_on(sock)
        assert parser.read_counts(len(counts)) == counts
        assert parser.read_reply() == b"OK"


GARBLED = [
    b"$1x\r\n",
    b"$99999999999999\r\n",
    b":x\r\n",
    b"*x\r\n",
    b"%1\r\n*0\r\n:1\r\n",
    b"*1\r\n" * 5000,
    b"\0\0\r\n",
    b"HTTP/1.1 400 Bad Request\r\n",
]


@pytest.mark.parametrize("reply", GARBLED, ids=repr)
def test_a_garbled_reply_is_an_error_of_the_server(reply):
    for read in (
        lambda parser: parser.read_reply(),
        lambda parser: read_value_into(parser, memoryview(bytearray(10))),
        lambda parser: parser.read_counts(1),
    ):
        with Far(reply) as sock, pytest.raises(redis.RedisError):
            read(parser_on(sock))


def test_counts_that_are_none_are_an_error_of_the_server():
    with Far(b"+OK\r\n") as sock, pytest.raises(redis.exceptions.InvalidResponse):
        parser_on(sock).read_counts(1)


def test_an_error_among_the_counts_is_raised():
    with Far(b":1\r\n-NOPERM no\r\n:2\r\n") as sock:
        parser = parser_on(sock)
        with pytest.raises(redis.exceptions.NoPermissionError):
            parser.read_counts(3)


def test_a_value_without_its_end_ends_the_connection():
    with Far(b"$3\r\nabcXX\r\n") as sock, pytest.raises(redis.ConnectionError, match="line end"):
        read_value_into(parser_on(sock), memoryview(bytearray(3)))


def test_a_huge_value_is_not_read_away():
    with Far(b"$999999999\r\n") as sock, pytest.raises(redis.ConnectionError, match="999999999"):
        read_value_into(parser_on(sock), memoryview(bytearray(3)))
