from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.stores.redis.wire.batch import command
from kvtransfer.stores.redis.wire.strings import flat_strings

RECORD = b"%2\r\n$4\r\nseal\r\n$4\r\nxxh3\r\n$5\r\nnonce\r\n$0\r\n\r\n"


@given(st.lists(st.binary(max_size=40), max_size=40), st.binary(max_size=20))
def test_an_array_of_strings_is_read_whatever_follows_it(strings, rest):
    reply = command(*strings)
    assert flat_strings(reply + rest) == (strings, len(reply), False)


def test_a_map_is_read_as_names_and_values():
    assert flat_strings(RECORD) == ([b"seal", b"xxh3", b"nonce", b""], len(RECORD), True)


def test_one_that_has_not_all_arrived_is_not_read():
    for end in range(len(RECORD)):
        assert flat_strings(RECORD[:end]) is None


@pytest.mark.parametrize(
    "reply",
    [
        b"+OK\r\n",
        b":1\r\n",
        b"$1\r\nx\r\n",
        b"*-1\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n:1\r\n",
        b"*1\r\n*1\r\n$1\r\nx\r\n",
        b"*x\r\n",
        b"*1\r\n$x\r\n",
        b"*1\r\n$1\r\nxyz",
        b"*1025\r\n" + 1025 * b"$0\r\n\r\n",
        b"%1\r\n$1\r\nx\r\n+y\r\n",
        b">2\r\n$1\r\nx\r\n$1\r\ny\r\n",
    ],
)
def test_any_other_reply_is_left_to_redis_py(reply):
    assert flat_strings(reply) is None


@given(st.binary(max_size=60), st.sampled_from([b"*", b"%"]))
def test_garbage_is_no_error(rest, sign):
    found = flat_strings(sign + rest)
    assert found is None or found.nbytes <= 1 + len(rest)
