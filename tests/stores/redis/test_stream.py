from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from kvtransfer.stores.redis.stream import appended

values = st.recursive(
    st.none() | st.integers() | st.binary(max_size=8) | st.just(b"p") | st.just(b"1-0"),
    lambda inner: st.lists(inner, max_size=4),
)


@given(values)
def test_any_reply_is_read(reply):
    for each in appended(reply):
        assert isinstance(each.payload, bytes)


def test_an_id_that_makes_no_sense_is_never_sent_back():
    reply = [[b"1-0", [b"p", b"a"]], [b"+\r\nFLUSHALL", [b"p", b"b"]], [b"2-0", [b"q", b"c"]]]
    assert [tuple(each) for each in appended(reply)] == [(b"1-0", b"a"), (b"2-0", b"")]


def test_an_error_is_raised_and_another_type_is_nothing():
    assert appended(ResponseError("WRONGTYPE no stream")) == []
    with pytest.raises(ResponseError):
        appended(ResponseError("OOM"))
