"""Which connections a pool keeps."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from kvtransfer.stores.redis.wire.batch import Batch
from kvtransfer.stores.redis.wire.pool import ConnectionPool


class StandIn:
    """A connection that answers each batch with what it was made for."""

    is_far = False

    def __init__(self, replies):
        self.replies = replies
        self.is_closed = False

    def is_usable(self):
        return not self.is_closed

    def execute(self, batch, deadline_s):
        assert not self.is_closed
        return self.replies

    def disconnect(self):
        self.is_closed = True


@pytest.fixture
def opened():
    return []


def executed(opened, *replies):
    """What two batches get from a pool of one connection at a time."""

    def open_connection():
        opened.append(StandIn(list(replies)))
        return opened[-1]

    pool = ConnectionPool(open_connection, 1)
    return [pool.execute(Batch([b""]), 1e9) for _ in range(2)]


def test_a_connection_is_used_again(opened):
    assert executed(opened, True, b"OK") == [[True, b"OK"]] * 2
    assert len(opened) == 1


def test_one_that_an_error_came_over_is_closed(opened):
    """A server that answers in the midst of a request may go on answering."""
    busy = ResponseError("BUSY")
    assert executed(opened, True, busy) == [[True, busy]] * 2
    assert len(opened) == 2
    assert all(connection.is_closed for connection in opened)
