"""The extras of a chunk name the media that it holds a part of, and where."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.connector.vllm.keys.key_builder import media_extras


def medium(identifier, offset, length):
    place = SimpleNamespace(offset=offset, length=length)
    return SimpleNamespace(identifier=identifier, mm_position=place)


def test_a_chunk_names_the_media_that_it_holds_a_part_of():
    extras = media_extras([medium("cat", 2, 3), medium("dog", 7, 10)], chunk_tokens=8)
    assert extras == [b'[["cat", 2], ["dog", 7]]', b'[["dog", -1]]', b'[["dog", -9]]']
    assert media_extras([], 8) == []


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 40), st.integers(1, 20)), max_size=4),
    st.integers(1, 12),
)
def test_exactly_the_chunks_that_a_medium_touches_have_extras(media, chunk_tokens):
    extras = media_extras([medium(*one) for one in media], chunk_tokens)
    for chunk, extra in enumerate(extras):
        tokens = range(chunk * chunk_tokens, (chunk + 1) * chunk_tokens)
        inside = [one for one in media if any(one[1] <= t < one[1] + one[2] for t in tokens)]
        assert bool(extra) == bool(inside)
    assert len(extras) * chunk_tokens >= max((o + n for _, o, n in media), default=0)


@pytest.mark.parametrize("change", [("cat", 3, 3), ("dog", 2, 3), ("cat", 2, 9)])
def test_another_medium_or_place_is_another_key(change):
    assert media_extras([medium("cat", 2, 3)], 8) != media_extras([medium(*change)], 8)
