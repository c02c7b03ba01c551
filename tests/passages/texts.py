"""Tokens and sources for the tests of passages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kvtransfer.chunks.keys import chunk_keys
from kvtransfer.passages.source import Source
from kvtransfer.passages.space import Space

if TYPE_CHECKING:
    import random

SPACE = Space.of(b'{"model":"m"}')
CHUNK_TOKENS = 16


def tokens(chance: random.Random, count: int, vocabulary: int = 49_152) -> list[int]:
    return [chance.randrange(vocabulary) for _ in range(count)]


def source(token_ids, space=SPACE, position=0) -> Source:
    """A source of ``token_ids``, whose last chunk is filled up with tokens that nothing else has."""
    filled = [*token_ids, *range(10**9, 10**9 + -len(token_ids) % CHUNK_TOKENS)]
    begin = space.digest + position.to_bytes(4, "little")
    keys = chunk_keys(filled, CHUNK_TOKENS, namespace=begin)
    return Source(space, np.array(filled, np.int32), CHUNK_TOKENS, tuple(keys), position)


def check(token_ids, runs) -> None:
    """Runs are in order, don't overlap, and say the truth."""
    ids = np.asarray(token_ids, np.int32)
    before = 0
    for run in runs:
        assert run.start >= before
        assert run.tokens > 0
        there = run.source.token_ids[run.source_start : run.source_end]
        assert np.array_equal(there, ids[run.start : run.end])
        before = run.end
