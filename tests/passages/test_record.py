from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.passages.record import from_record, to_record
from kvtransfer.passages.source import Source
from kvtransfer.passages.space import Space
from tests.passages.texts import SPACE, source, tokens

IDS = tokens(random.Random(0), 64)
RECORD = to_record(source(IDS))
COUNT = slice(16, 20)


@pytest.mark.parametrize("space", [SPACE, Space.of(b"{}", "0" * 32)])
@pytest.mark.parametrize("position", [0, 77])
def test_a_record_brings_the_source_back(space, position):
    saved = source([*IDS[:63], 2**31 - 1], space, position)
    record = to_record(saved)
    for data in (record, memoryview(record), bytearray(record)):
        read = from_record(data, space)
        assert read.token_ids.tolist() == saved.token_ids.tolist()
        assert read.content_keys == saved.content_keys
        assert (read.space, read.position, read.chunk_tokens) == (space, position, 16)
    assert len(record) == 52 + 4 * 64 + 16


def test_a_record_of_another_space_is_none():
    assert from_record(RECORD, Space.of(b'{"model":"m"}', "0" * 32)) is None


def test_a_source_whose_keys_do_not_follow_from_its_tokens_is_refused():
    with pytest.raises(ValueError, match="position 16"):
        to_record(source(IDS).part(1, 3))
    with pytest.raises(ValueError, match="chunks of 8 tokens"):
        to_record(Source.of(SPACE, IDS, 8))


def test_what_is_cut_or_has_more_is_none():
    assert all(from_record(RECORD[:length], SPACE) is None for length in range(len(RECORD)))
    assert from_record(RECORD + b"\0", SPACE) is None
    assert from_record(RECORD, SPACE) is not None


def test_a_flipped_bit_is_none():
    for bit in range(8 * len(RECORD)):
        flipped = bytearray(RECORD)
        flipped[bit // 8] ^= 1 << bit % 8
        assert from_record(flipped, SPACE) is None, f"bit {bit}"


@pytest.mark.parametrize("count", [0, 1, 48, 63, 65, 80, 2**30, 2**31, 2**32 - 1])
@pytest.mark.parametrize("place", [8, 12, 16])
def test_a_lying_header_is_none_and_takes_no_memory(place, count):
    lying = bytearray(RECORD)
    lying[place : place + 4] = struct.pack("<I", count)
    assert from_record(lying, SPACE) is None or lying == RECORD  # it stands at position 0


@given(st.binary(max_size=400), st.booleans())
def test_anything_else_is_none(data, has_header):
    assert from_record(RECORD[:52] * has_header + data, SPACE) is None
