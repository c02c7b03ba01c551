"""How a codec's levels are spread over layers, and what keys say of them."""

from __future__ import annotations

import pytest

from kvtransfer.chunks.quantisation import CODECS, levels


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("layers", [1, 2, 16, 17, 30, 80])
def test_each_layer_has_one_level(codec, layers):
    found = levels(codec, layers)
    assert sum(count for _, count in found) == layers
    assert all(count > 0 and each.codec == codec for each, count in found)


def test_only_cachegen_has_several_levels_the_finest_first():
    bits = {codec: [(each.bits, count) for each, count in levels(codec, 32)] for codec in CODECS}
    assert bits == {
        "int8": [(8, 32)],
        "int5": [(5, 32)],
        "int4": [(4, 32)],
        "cachegen": [(5, 2), (4, 30)],
    }


@pytest.mark.parametrize("codec", ["naive", "lossless", "auto"])
def test_other_codecs_leave_numbers_as_they_are(codec):
    assert levels(codec, 32) == []


def test_labels_tell_apart_whatever_changes_the_bytes():
    (int8,), (int4,) = levels("int8", 1), levels("int4", 1)
    labels = {int8[0].label, int4[0].label, int4[0].keeping(64).label}
    assert len(labels) == 3


def test_of_few_bits_the_first_token_is_exact():
    assert [levels(codec, 1)[0][0].exact_tokens for codec in ("int8", "int5", "int4")] == [0, 0, 1]
