"""What stands behind the parts is believed only where it is what the reader's format needs."""

from __future__ import annotations

import struct

import pytest

from kvtransfer.stores.lossless.container import description, description_bytes, read_lengths
from kvtransfer.stores.lossless.stretches import stretches_of
from tests.stores.lossless.floats import BF16, FP32, MIXED

STRETCHES = stretches_of(MIXED)
STRIPES = [stretch.elements for stretch in STRETCHES for _ in range(stretch.kind.width)]
LENGTHS = [max(1, elements - number) for number, elements in enumerate(STRIPES)]
STORED = bytes(sum(LENGTHS)) + description(STRETCHES, LENGTHS)
ABOUT = description_bytes(STRETCHES)
HEAD_BYTES = 20
HUGE = (0, 2**31 - 1, 2**31, 2**32 - 1)


def read(stored, stretches=STRETCHES):
    return read_lengths(memoryview(stored), stretches)


def test_lengths_come_back():
    assert len(STORED) == sum(LENGTHS) + ABOUT
    assert read(STORED) == LENGTHS


def test_the_bytes_of_a_small_one_are_as_the_page_says():
    stretches = stretches_of(BF16)
    assert description(stretches, [5, 7]) == struct.pack(
        "<3I3I4sBBHIQ", 2, 8192, 5, 2, 8192, 7, b"KVTL", 1, 1, 0, 2, 16384
    )


def test_a_cut_one_is_refused_wherever_it_is_cut():
    for kept in range(len(STORED)):
        assert read(STORED[:kept]) is None
        assert read(STORED[-kept:] if kept else b"") is None
    assert read(STORED + b"\0") is None


def test_a_flipped_bit_is_found_wherever_it_is():
    for bit in range(8 * ABOUT):
        flipped = bytearray(STORED)
        flipped[-1 - bit // 8] ^= 1 << bit % 8
        assert read(flipped) is None, bit


@pytest.mark.parametrize("lie", HUGE)
def test_a_number_that_lies_is_found(lie):
    for at in range(0, ABOUT - HEAD_BYTES, 4):
        lying = bytearray(STORED)
        struct.pack_into("<I", lying, len(STORED) - ABOUT + at, lie)
        assert lying == STORED or read(lying) is None


@pytest.mark.parametrize("lie", [*HUGE, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_length_of_the_chunk_that_lies_is_found(lie):
    assert read(STORED[:-8] + struct.pack("<Q", lie)) is None


def test_lengths_that_only_add_up_are_refused():
    longer = [STRIPES[0] + 1, *LENGTHS[1:-1], LENGTHS[-1] + LENGTHS[0] - STRIPES[0] - 1]
    assert sum(longer) == sum(LENGTHS)
    assert read(bytes(sum(longer)) + description(STRETCHES, longer)) is None
    none = [0, *LENGTHS[1:]]
    assert read(bytes(sum(none)) + description(STRETCHES, none)) is None


def test_that_of_another_format_is_refused():
    assert read(STORED, stretches_of(FP32)) is None
    assert read(STORED, stretches_of(BF16)) is None
