"""What was computed without being saved is counted wherever it stands, and forgotten once saved."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.passages.space import Space
from kvtransfer.passages.unsaved import Unsaved

SPACE, OTHER = Space.of(b"one"), Space.of(b"another")


def ids(tokens, seed=0):
    return np.random.default_rng(seed).integers(0, 50_000, tokens).astype(np.int32)


def test_tokens_are_counted_as_often_as_they_were_computed():
    unsaved, prompt = Unsaved(), ids(320)
    assert unsaved.tokens(SPACE, prompt, [(0, 320)]) == 0
    unsaved.note(SPACE, prompt, [(0, 320)])
    assert unsaved.tokens(SPACE, prompt, [(0, 320)]) == 2 * 320
    unsaved.note(SPACE, prompt, [(0, 320)])
    assert unsaved.tokens(SPACE, prompt, [(0, 320)]) == 3 * 320


@given(shift=st.integers(0, 100), first=st.integers(0, 40))
def test_a_passage_is_found_again_at_any_place(shift, first):
    unsaved, passage = Unsaved(), ids(256)
    unsaved.note(SPACE, passage, [(first, 256)])
    prompt = np.concatenate([ids(shift, 1), passage, ids(40, 2)])
    counted = unsaved.tokens(SPACE, prompt, [(0, len(prompt))])
    assert counted == 2 * ((256 - first) // 32 * 32)
    unsaved.note(SPACE, prompt, [(0, len(prompt))])
    again = unsaved.tokens(SPACE, passage, [(first, 256)])
    assert again == counted // 2 * 3, "the same windows are counted, not others beside them"


def test_spaces_and_tokens_outside_the_spans_are_apart():
    unsaved, prompt = Unsaved(), ids(200)
    unsaved.note(SPACE, prompt, [(0, 64), (128, 192)])
    assert unsaved.tokens(SPACE, prompt, [(0, 200)]) == 2 * 128
    assert unsaved.tokens(SPACE, prompt, [(64, 128)]) == 0
    assert unsaved.tokens(OTHER, prompt, [(0, 200)]) == 0
    assert unsaved.tokens(SPACE, prompt, [(0, 31), (190, 200)]) == 0, "shorter than a window"


def test_what_is_being_saved_is_forgotten():
    unsaved, prompt = Unsaved(), ids(192)
    unsaved.note(SPACE, prompt, [(0, 192)])
    unsaved.forget(SPACE, prompt, [(0, 96)])
    assert unsaved.tokens(SPACE, prompt, [(0, 192)]) == 2 * 96


def test_the_oldest_are_forgotten_first():
    unsaved = Unsaved(most_windows=4)
    unsaved.note(SPACE, ids(96, 1), [(0, 96)])
    unsaved.note(SPACE, ids(96, 2), [(0, 96)])
    assert unsaved.tokens(SPACE, ids(96, 1), [(0, 96)]) == 2 * 32
    assert unsaved.tokens(SPACE, ids(96, 2), [(0, 96)]) == 2 * 96
