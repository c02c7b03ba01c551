from __future__ import annotations

import random

import numpy as np
import pytest

from kvtransfer.passages.chunk_parts import chunk_parts
from kvtransfer.passages.run import Run
from kvtransfer.passages.source import Source
from kvtransfer.passages.space import Space
from tests.passages.texts import SPACE, source, tokens

IDS = tokens(random.Random(0), 160)


def test_spaces_differ_by_namespace():
    spaces = [Space.of(each).digest for each in (b"{}", b'{"a":1}', b"", b"a", b'{"salt":"a"}')]
    assert len(set(spaces)) == len(spaces)


@pytest.mark.parametrize("seed", range(20))
def test_parts_of_a_copy_name_each_token_once(seed):
    chance = random.Random(seed)
    saved = source(IDS)
    first = chance.randrange(160)
    copy = Run(1000, chance.randint(1, 160 - first), saved, first)
    parts = chunk_parts(copy)
    read = [
        (part.start + i, saved.keys.index(part.key) * 16 + part.first + i)
        for part in parts
        for i in range(part.tokens)
    ]
    assert read == [(1000 + i, first + i) for i in range(copy.tokens)]
    assert all(part.tokens == 16 for part in parts[1:-1])


def test_a_part_of_a_source_keeps_keys_and_positions():
    saved = source(IDS, position=5)
    part = saved.part(2, 4)
    assert (part.position, part.keys) == (37, saved.keys[2:4])
    assert part.token_ids.tolist() == IDS[32:64]
    assert saved.covers(part)
    assert not part.covers(saved)
    assert not source(IDS).covers(part)


def test_a_source_holds_whole_chunks_of_its_own():
    saved = source(IDS[:32])
    assert saved.token_ids.tolist() == IDS[:32]
    with pytest.raises(ValueError, match="read-only"):
        saved.token_ids[0] = 1
    for wrong in (np.zeros(16, np.int64), np.zeros(17, np.int32), np.zeros(0, np.int32)):
        with pytest.raises(ValueError, match="whole chunk"):
            Source(SPACE, wrong, 16, ("k",))
    with pytest.raises(ValueError, match="position is -1"):
        Source(SPACE, np.zeros(16, np.int32), 16, ("k",), -1)
