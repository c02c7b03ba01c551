"""What the groups of a model make of a request together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.chunks.groups import Groups, Part
from kvtransfer.chunks.keys import piece_key
from kvtransfer.chunks.reach import LocalChunks, State, Window
from kvtransfer.chunks.tiling import Tiling

KEYS = [letter * 32 for letter in "abcdef"]
SIZE = 8
FULL, STATE = Tiling(SIZE, 4), Tiling(SIZE, SIZE, State())

passing = st.one_of(
    st.just(STATE),
    st.builds(lambda tokens: Tiling(SIZE, 4, Window(tokens)), st.integers(2, 40)),
    st.builds(lambda tokens: Tiling(SIZE, 2, LocalChunks(tokens)), st.integers(2, 40)),
)
models = st.builds(
    lambda others, place: Groups((*others[:place], FULL, *others[place:])),
    st.lists(passing, max_size=3),
    st.integers(0, 3),
)


def reads(groups, hit_tokens, skip_tokens):
    """Every piece with a token that continuing at ``hit_tokens`` reads, token by token."""
    return {
        piece_key(KEYS[token // SIZE], group)
        for group, tiling in enumerate(groups.tilings)
        for token in range(
            max(tiling.reach.first_token(hit_tokens), skip_tokens),
            hit_tokens,
        )
    }


@given(models, st.data())
def test_the_longest_hit_is_the_longest_of_all_that_are_complete(groups, data):
    everything = sorted(groups.piece_keys(KEYS))
    held = set(everything) - set(data.draw(st.lists(st.sampled_from(everything), max_size=6)))
    most = data.draw(st.integers(0, len(KEYS) * SIZE))
    skip = 4 * data.draw(st.integers(0, most // 4))
    ends = range(skip // SIZE * SIZE + SIZE, most + 1, SIZE)
    complete = [hit for hit in ends if reads(groups, hit, skip) <= held]
    found = groups.longest_hit(KEYS, held.__contains__, most, skip)
    assert found == max(complete, default=skip)


@given(models, st.integers(0, 6), st.data())
def test_what_a_hit_needs_is_what_is_read(groups, chunks, data):
    hit = chunks * SIZE
    skip = 4 * data.draw(st.integers(0, hit // 4))
    parts = list(groups.needed(hit, skip))
    named = [piece_key(KEYS[chunk], part.group) for part in parts for chunk in part.chunks]
    assert sorted(named) == sorted(reads(groups, hit, skip))


def test_what_few_requests_share_is_loaded_first():
    groups = Groups((FULL, Tiling(SIZE, 4, Window(12)), STATE))
    assert list(groups.needed(24, 0)) == [
        Part(1, range(1, 3)),
        Part(2, range(2, 3)),
        Part(0, range(3)),
    ]


@pytest.mark.parametrize(
    ("tokens", "chunks"), [(49, 6), (48, 5), (47, 5), (41, 5), (40, 4), (9, 1), (8, 0), (1, 0)]
)
def test_the_last_token_is_in_no_state_that_is_loaded(tokens, chunks):
    keys = KEYS[: tokens // SIZE]
    assert list(Groups((FULL, STATE)).usable(keys, tokens)) == KEYS[:chunks]
    assert list(Groups((Tiling(SIZE, 4, Window(4)),)).usable(keys, tokens)) == KEYS[:chunks]
    assert Groups((FULL,)).usable(keys, tokens) == keys


def test_kinds_of_groups():
    window = Tiling(SIZE, 4, Window(12))
    mixed, windows = Groups((window, FULL, STATE, FULL)), Groups((window,))
    assert (mixed.lasting, mixed.passing, mixed.main) == ((1, 3), (0, 2), 1)
    assert (windows.lasting, windows.passing, windows.main) == ((), (0,), 0)
    assert [g.are_one for g in (mixed, windows, Groups((FULL,)))] == [False, False, True]
    assert mixed.chunk_tokens == SIZE


def test_keys_of_all_pieces():
    assert Groups((FULL,)).piece_keys(KEYS) == KEYS
    a, b = KEYS[:2]
    assert Groups((STATE, FULL)).piece_keys([a, b]) == [a, b, f"{a}-1", f"{b}-1"]


def test_what_a_prompt_leaves_for_later_ones():
    groups = Groups((FULL, STATE))
    assert list(Groups((FULL,)).left_by(KEYS[:2], 16)) == [KEYS[:2]]
    assert list(groups.left_by(KEYS[:2], 17)) == [KEYS[:2], [f"{KEYS[1]}-1"]]
    assert list(groups.left_by(KEYS[:2], 16)) == [KEYS[:2], [f"{KEYS[0]}-1"]]
    assert list(groups.left_by(KEYS[:1], 8)) == [KEYS[:1]]
    assert list(groups.left_by([], 7)) == []


def test_a_model_of_windows_alone_needs_only_the_last():
    groups = Groups((Tiling(SIZE, 4, Window(12)),))
    held = {KEYS[3], KEYS[4]}
    assert groups.longest_hit(KEYS, held.__contains__, 48, 0) == 40
    assert groups.longest_hit(KEYS, held.__contains__, 39, 0) == 0
