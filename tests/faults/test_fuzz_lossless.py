"""Hostile lossless forms break no promise; the long run is ``make soak``."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.faults.fuzz_lossless import FLOATS, FORMS, Wrong, bombed, face, fuzz, zstd
from tests.stores.lossless.floats import chunk_of


def test_whatever_a_stored_form_holds_no_promise_is_broken():
    assert fuzz(cases=3000, seed=7) > 1500


def test_the_forms_themselves_are_good():
    assert all(face(name, stored) == chunk_of(FLOATS[name]) for name, stored in FORMS.items())


@pytest.mark.parametrize("name", FORMS)
def test_a_cut_form_is_refused_wherever_it_is_cut(name):
    stored = FORMS[name]
    middle = range(0, len(stored), max(1, len(stored) // 300))
    for kept in (*middle, *range(len(stored) - 300, len(stored))):
        assert face(name, stored[:kept]) is None


def test_the_fuzzer_finds_a_reader_that_raises(monkeypatch):
    believes = lambda part, _: np.frombuffer(zstd.decompress(part), np.uint8)  # noqa: E731
    monkeypatch.setattr("kvtransfer.stores.lossless.codec.decompressed", believes)
    with pytest.raises(Wrong, match=r"case .* of seed 7"):
        fuzz(cases=3000, seed=7)


def test_the_fuzzer_finds_what_takes_memory_by_a_frames_word(monkeypatch):
    monkeypatch.setattr("kvtransfer.stores.lossless.codec.decompressed", _without_bounds)
    with pytest.raises(Wrong, match="took"):
        fuzz(cases=3000, seed=7)


def _without_bounds(part, nbytes):
    try:
        stripe = np.frombuffer(zstd.decompress(part), np.uint8)
    except zstd.ZstdError:
        return None
    return stripe if stripe.size == nbytes else None


@pytest.mark.parametrize("name", FORMS)
def test_bombs_are_refused(name):
    chance = random.Random(0)
    assert not any(face(name, bombed(name, chance)) for _ in range(30))
