from __future__ import annotations

import random

import numpy as np
import pytest

from kvtransfer.chunks.keys import KEY_HEX_DIGITS, chunk_keys, namespace, tenant_of
from kvtransfer.passages.chunk_parts import chunk_parts
from kvtransfer.passages.content_keys import content_chain, content_keys
from kvtransfer.passages.run import Run
from kvtransfer.passages.source import Source
from kvtransfer.passages.space import Space
from tests.passages.texts import SPACE, source, tokens

FACTS = namespace({"model": "m"})
IDS = tokens(random.Random(0), 160)


def test_a_key_depends_on_tokens_place_space_and_everything_before():
    keys = content_keys(SPACE, IDS, 16)
    assert len(keys) == 10
    assert all(len(key) == KEY_HEX_DIGITS for key in keys)
    assert content_keys(SPACE, IDS[:159], 16) == keys[:9]
    others = [
        *content_keys(SPACE, [1, *IDS[1:]], 16),
        *content_keys(SPACE, IDS[16:], 16),
        *content_keys(SPACE, IDS, 16, position=16),
        *content_keys(SPACE, IDS, 32),
        *content_keys(Space.of(FACTS, "0" * 32), IDS, 16),
        *content_keys(Space.of(namespace({"model": "n"})), IDS, 16),
    ]
    assert len({key[:KEY_HEX_DIGITS] for key in others} - set(keys)) == len(others)


def test_no_content_key_is_the_key_of_a_chunk():
    for space in (Space.of(FACTS), Space.of(FACTS, "0" * 32)):
        exact = set(chunk_keys(IDS, 16, namespace=FACTS))
        exact |= set(chunk_keys(IDS, 16, namespace=space.digest))
        assert not exact & {key[:KEY_HEX_DIGITS] for key in content_keys(space, IDS, 16)}
    assert FACTS.startswith(b"{")  # which our label doesn't


def test_keys_stay_what_they_are():
    assert content_keys(Space.of(b"{}"), range(16), 16) == ["1c2fdfc64b1f77fae5f5e7267e47b442"]


def test_keys_end_with_the_tenant_and_grow_with_the_sequence():
    space = Space.of(FACTS, "f" * 32)
    chain = content_chain(space, 16)
    chain.extend(IDS[:50])
    assert chain.extend(IDS) == content_keys(space, IDS, 16)
    assert {tenant_of(key) for key in chain.extend(IDS)} == {"f" * 32}


def test_spaces_differ_by_namespace_and_tenant():
    spaces = [Space.of(n, t).digest for n in (b"{}", b'{"a":1}', b"") for t in ("", "a", "b")]
    assert len(set(spaces)) == len(spaces)


@pytest.mark.parametrize("seed", range(20))
def test_parts_of_a_copy_name_each_token_once(seed):
    chance = random.Random(seed)
    saved = source(IDS)
    first = chance.randrange(160)
    copy = Run(1000, chance.randint(1, 160 - first), saved, first)
    parts = chunk_parts(copy)
    read = [
        (part.start + i, saved.content_keys.index(part.content_key) * 16 + part.first + i)
        for part in parts
        for i in range(part.tokens)
    ]
    assert read == [(1000 + i, first + i) for i in range(copy.tokens)]
    assert all(part.tokens == 16 for part in parts[1:-1])


def test_a_part_of_a_source_keeps_keys_and_positions():
    saved = source(IDS, position=5)
    part = saved.part(2, 4)
    assert (part.position, part.content_keys) == (37, saved.content_keys[2:4])
    assert part.token_ids.tolist() == IDS[32:64]
    assert saved.covers(part)
    assert not part.covers(saved)
    assert not source(IDS).covers(part)


def test_a_source_holds_whole_chunks_of_its_own():
    assert Source.of(SPACE, IDS[:15], 16) is None
    saved = Source.of(SPACE, IDS[:40], 16)
    assert saved.token_ids.tolist() == IDS[:32]
    with pytest.raises(ValueError, match="read-only"):
        saved.token_ids[0] = 1
    for wrong in (np.zeros(16, np.int64), np.zeros(17, np.int32), np.zeros(0, np.int32)):
        with pytest.raises(ValueError, match="whole chunk"):
            Source(SPACE, wrong, 16, ("k",))
    with pytest.raises(ValueError, match="position is -1"):
        Source(SPACE, np.zeros(16, np.int32), 16, ("k",), -1)
