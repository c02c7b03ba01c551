"""How far back each kind of cache group is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.chunks.reach import Everything, LocalChunks, State, Window

windows = st.builds(Window, st.integers(1, 40), st.integers(0, 4))
reaches = st.one_of(
    st.just(Everything()), windows, st.builds(LocalChunks, st.integers(1, 40)), st.just(State())
)


@given(reaches, st.integers(0, 200))
def test_what_is_read_lies_within_the_prefix_and_never_moves_back(reach, tokens):
    first = reach.first_token(tokens)
    assert 0 <= first <= tokens
    assert first <= reach.first_token(tokens + 1)


@given(reaches, st.integers(1, 40), st.integers(1, 9))
def test_a_piece_holds_all_that_is_read_of_its_chunk_behind_it(reach, chunk_tokens, chunks):
    end = chunk_tokens * chunks
    most = reach.most_tokens(chunk_tokens)
    assert 1 <= most <= chunk_tokens
    for prefix in range(end, end + 3 * chunk_tokens, chunk_tokens):
        assert end - max(reach.first_token(prefix), end - chunk_tokens) <= most


@given(st.integers(1, 9), st.integers(1, 40))
def test_a_window_is_what_its_next_token_sees(tokens, prefix):
    """Token ``prefix`` attends to itself and to the ``tokens - 1`` before it."""
    seen = range(max(0, prefix - tokens + 1), prefix)
    assert Window(tokens).first_token(prefix) == seen.start


@pytest.mark.parametrize(
    ("reach", "firsts"),
    [
        (Everything(), [0, 0, 0, 0]),
        (Window(4), [0, 5, 9, 13]),
        (Window(4, extra_tokens=2), [0, 3, 7, 11]),
        (LocalChunks(16), [0, 0, 0, 16]),
        (LocalChunks(6), [0, 6, 12, 12]),
        (State(), [0, 7, 11, 15]),
    ],
)
def test_the_first_token_that_is_read(reach, firsts):
    assert [reach.first_token(tokens) for tokens in (0, 8, 12, 16)] == firsts
