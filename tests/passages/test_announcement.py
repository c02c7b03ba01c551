from __future__ import annotations

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.passages.announcement import (
    MOST_BYTES,
    MOST_TOKENS,
    as_token_ids,
    decode,
    encode,
)
from kvtransfer.passages.space import Space

SPACE = Space.of(b"a namespace")
IDS = list(range(100, 2100))
HEADER_BYTES = 48


def forged(payload, *, count=None, body=None):
    """``payload`` with a right checksum after its header and body were changed."""
    head = bytearray(payload[: HEADER_BYTES - 4])
    if count is not None:
        struct.pack_into("<I", head, 8, count)
    body = payload[HEADER_BYTES:] if body is None else body
    return bytes(head) + struct.pack("<I", zlib.crc32(body, zlib.crc32(head))) + body


@given(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=300), st.binary(max_size=8))
def test_what_is_packed_is_unpacked(ids, namespace):
    space, read = decode(encode(Space.of(namespace), ids))
    assert space == Space.of(namespace)
    assert read.dtype == np.int32
    assert read.tolist() == ids
    assert not read.flags.writeable


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(payload):
    for each in (payload, encode(SPACE, IDS)[:8] + payload):
        with pytest.raises(ValueError, match="announcement"):
            decode(each)


@given(st.data())
def test_a_change_anywhere_is_noticed(data):
    payload = bytearray(encode(SPACE, IDS))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match="announcement"):
        decode(bytes(payload))


@given(st.binary(min_size=1, max_size=400), st.integers(0, 2**32 - 1))
def test_a_right_checksum_doesnt_make_it_right(body, count):
    for packed in (IDS, [7]):  # deflated, and as they are
        try:
            _, read = decode(forged(encode(SPACE, packed), count=count, body=body))
        except ValueError:
            continue
        assert 0 < len(read) <= MOST_TOKENS
        assert read.min() >= 0


def test_an_announcement_is_never_longer_than_it_may_be():
    ids = np.random.default_rng(1).integers(0, 2**31, MOST_TOKENS)
    payload = encode(SPACE, ids)
    assert len(payload) <= MOST_BYTES
    assert (decode(payload)[1] == ids).all()


def test_a_deflated_giant_takes_no_memory():
    packed = zlib.compressobj()
    giant = b"".join(packed.compress(bytes(1 << 20)) for _ in range(64)) + packed.flush()
    payload = forged(encode(SPACE, [0] * MOST_TOKENS), body=giant)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="not as long as it says"):
            decode(payload)
        assert tracemalloc.get_traced_memory()[1] < 4 * MOST_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("rest", [b"\0", bytes(100)])
def test_more_behind_the_deflated_ids_is_refused(rest):
    payload = encode(SPACE, IDS)
    with pytest.raises(ValueError, match="not as long as it says"):
        decode(forged(payload, body=payload[HEADER_BYTES:] + rest))


def test_negative_ids_are_refused():
    payload = encode(SPACE, [7])
    with pytest.raises(ValueError, match="negative"):
        decode(forged(payload, body=b"\xff" * 4))


@pytest.mark.parametrize(
    "ids",
    [
        [-4711],
        [2**31 + 4711],
        [2**80 + 4711],
        np.array([2**40 + 4711]),
        [4711.5],
        ["4711"],
        [[4711, 4711]],
        [[4711], [4711, 4711]],
    ],
)
def test_what_is_no_token_id_is_refused_without_being_quoted(ids):
    with pytest.raises(ValueError, match="token ids must be") as raised:
        encode(SPACE, ids)
    assert "4711" not in str(raised.value)


@pytest.mark.parametrize("ids", [[], np.zeros(MOST_TOKENS + 1, np.int32)])
def test_too_few_and_too_many_are_refused(ids):
    with pytest.raises(ValueError, match=f"{len(ids)} token ids"):
        as_token_ids(ids)
