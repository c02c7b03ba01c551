from __future__ import annotations

import random

import numpy as np
import pytest

from kvtransfer.passages.library import Library
from kvtransfer.passages.match import match
from kvtransfer.passages.space import Space
from tests.passages.texts import CHUNK_TOKENS, SPACE, check, source, tokens


def ids(seed, count=160):
    return tokens(random.Random(seed), count)


def test_memory_is_bounded_and_the_least_recently_used_go_first():
    known, sources = Library(max_tokens=480), [source(ids(seed)) for seed in range(5)]
    for each in sources[:3]:
        known.add(each)
    known.use(sources[0])
    known.add(sources[3])
    assert [each in known for each in sources] == [True, False, True, True, False]
    assert (known.tokens, len(known)) == (480, 3)
    assert match(known, ids(1), SPACE) == ()
    assert len(match(known, ids(0), SPACE)) == 1


@pytest.mark.parametrize("seed", range(5))
def test_the_bound_holds_over_all_spaces_whatever_comes(seed):
    chance = random.Random(seed)
    spaces = [SPACE, Space.of(b"{}"), Space.of(b"[]")]
    known, added = Library(max_tokens=2000), []
    for _ in range(200):
        added.append(source(tokens(chance, chance.randrange(1, 900)), chance.choice(spaces)))
        known.add(added[-1])
        if chance.random() < 0.3:
            known.forget(chance.choice(added))
        assert known.tokens <= 2000
        prompt = chance.choice(added)
        runs = match(known, prompt.token_ids, prompt.space)
        check(prompt.token_ids, runs)
        assert all(run.source in known and run.source.space == prompt.space for run in runs)
    for each in added:
        known.forget(each)
    assert (known.tokens, len(known)) == (0, 0)
    assert not known._holders
    assert not known._ending
    assert not known._shelves


def test_of_a_source_longer_than_the_library_the_beginning_is_kept():
    known = Library(max_tokens=100)
    known.add(source(ids(0)))
    (run,) = match(known, ids(0), SPACE)
    assert (run.start, run.end, known.tokens) == (0, 96, 96)
    nothing = Library(max_tokens=CHUNK_TOKENS - 1)
    nothing.add(source(ids(0)))
    assert len(nothing) == 0


def test_what_is_forgotten_is_not_found_though_its_windows_stay_for_a_while():
    known, first, second = Library(max_tokens=10**5), source(ids(0)), source(ids(1, 6400))
    known.add(first)
    known.add(second)
    known.forget(first)
    known.forget(first)
    assert match(known, ids(0), SPACE) == ()
    assert len(match(known, ids(1, 6400), SPACE)) == 1


def test_a_source_that_another_covers_is_kept_once():
    known, turn = Library(max_tokens=10**5), ids(0, 480)
    first, second = source(turn[:160]), source(turn)
    known.add(first)
    known.add(source(turn[:160]))
    assert len(known) == 1
    known.add(second)
    assert (second in known, first in known, known.tokens) == (True, False, 480)
    known.add(source(turn[:320]))
    assert known.tokens == 480
    known.add(source(turn[:160], position=7))  # other KV
    assert known.tokens == 640


@pytest.mark.parametrize(
    "sizes", [{"window_tokens": 33}, {"window_tokens": 0}, {"stride_tokens": 0}, {"max_tokens": -1}]
)
def test_sizes_out_of_range_are_refused(sizes):
    with pytest.raises(ValueError, match=next(iter(sizes))):
        Library(**{"max_tokens": 1, **sizes})


def test_anchors_are_the_same_whatever_the_seed():
    for seed in (0, 1, 2**64 - 1):
        known = Library(max_tokens=10**4, seed=seed)
        known.add(source(ids(0)))
        starts = known.anchors(np.asarray([5, *ids(0)], np.int32), SPACE).starts
        assert starts == [1, 33, 65, 97, 129]
