from __future__ import annotations

import random

import numpy as np
import pytest

from kvtransfer.passages import library as library_module
from kvtransfer.passages.library import Library
from kvtransfer.passages.match import match
from kvtransfer.passages.run import Run
from kvtransfer.passages.space import Space
from tests.passages.texts import SPACE, check, source, tokens


def library_of(*sources, **sizes):
    made = Library(max_tokens=10**6, **sizes)
    for each in sources:
        made.add(each)
    return made


def covered(runs, count):
    is_covered = np.zeros(count, bool)
    for run in runs:
        is_covered[run.start : run.end] = True
    return is_covered


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("lengths", [(63, 200), (200, 800)])
def test_moved_passages_are_found_whole_at_any_offset(seed, lengths):
    chance = random.Random(seed)
    passages = [tokens(chance, chance.randint(*lengths)) for _ in range(4)]
    old = tokens(chance, chance.randrange(70))
    for passage in passages:
        old += passage + tokens(chance, chance.randrange(70))
    new, spans = tokens(chance, chance.randrange(70)), []
    for passage in chance.sample(passages, 4):
        spans.append((len(new), len(new) + len(passage)))
        new += passage + tokens(chance, chance.randrange(70))
    runs = match(library_of(source(old)), new, SPACE)
    check(new, runs)
    assert all(covered(runs, len(new))[first:end].all() for first, end in spans)


@pytest.mark.parametrize("offset", range(65))
def test_the_shortest_passage_is_found_at_each_offset_of_its_source(offset):
    chance = random.Random(offset)
    passage = tokens(chance, 63)
    saved = source(tokens(chance, offset) + passage + tokens(chance, 40))
    (run,) = match(library_of(saved), [1, 2, 3, *passage, 4], SPACE)
    assert (run.start, run.tokens, run.source, run.source_start) == (3, 63, saved, offset)
    assert run.shift == 3 - offset


@pytest.mark.parametrize("seed", range(10))
def test_few_different_tokens_are_matched_truthfully(seed):
    chance = random.Random(seed)
    known = library_of(*(source(tokens(chance, 400, vocabulary=2)) for _ in range(5)))
    known.add(source([1] * 400))
    for prompt in ([1] * 1000, [0, 1] * 300, tokens(chance, 500, vocabulary=2)):
        runs = match(known, prompt, SPACE, exact_tokens=37)
        check(prompt, runs)
        assert all(run.start >= 37 for run in runs)
    assert covered(match(known, [1] * 1000, SPACE), 1000)[:960].all()


def test_equal_hashes_of_other_tokens_are_no_run(monkeypatch):
    monkeypatch.setattr(
        library_module,
        "window_hashes",
        lambda ids, width, seed: np.full(max(0, len(ids) - width + 1), 7, np.uint64),
    )
    chance = random.Random(0)
    passage = tokens(chance, 64)
    known = library_of(source(tokens(chance, 640)), source(passage))
    assert len(known.anchors(np.asarray(tokens(chance, 100), np.int32), SPACE).starts) == 69
    assert match(known, tokens(chance, 100), SPACE) == ()
    assert match(known, tokens(chance, 100), SPACE, segments=[[0, 64]]) == ()
    prompt = [1, *passage]
    check(prompt, match(known, prompt, SPACE))


def test_nothing_of_another_space_is_found():
    chance = random.Random(1)
    ids = tokens(chance, 160)
    spaces = [SPACE, Space.of(b"{}"), Space.of(b'{"model":"m","salt":"0"}'), Space.of(b"")]
    known = library_of(*(source(ids, space) for space in spaces[:-1]))
    for space in spaces[:-1]:
        (run,) = match(known, ids, space)
        assert run.source.space == space
    assert match(known, ids, spaces[-1]) == ()
    with pytest.MonkeyPatch.context() as planted:  # and the test sees it where the salt is ignored
        planted.setattr(Space, "__hash__", lambda self: 0)
        planted.setattr(Space, "__eq__", lambda self, other: True)
        assert match(library_of(source(ids)), ids, spaces[-1]) != ()


def test_the_source_that_shares_most_windows_is_taken():
    chance = random.Random(2)
    a, b, c = (tokens(chance, 64) for _ in range(3))
    together, alone = source([*a, 1, *b, 2, *c]), source(b)
    for known in (library_of(together, alone), library_of(alone, together)):
        runs = match(known, [7, *c, 8, *b, 9, *a], SPACE)
        assert {run.source for run in runs} == {together}
        assert [run.tokens for run in runs] == [64] * 3


def test_of_equal_sources_the_latest_is_taken():
    chance = random.Random(3)
    a = tokens(chance, 64)
    earlier, later = source([1, *a]), source([2, *a])
    (run,) = match(library_of(earlier, later), [3, *a], SPACE)
    assert run.source is later


def test_an_exact_run_is_preferred_to_a_longer_one():
    chance = random.Random(4)
    a, b = tokens(chance, 96), tokens(chance, 96)
    exact, longer = source(a), source([1, *a, *b])
    runs = match(library_of(exact, longer), a + b, SPACE)
    assert runs == (Run(0, 96, exact, 0, True), Run(96, 96, longer, 97))


def test_only_the_same_position_with_the_same_tokens_before_is_exact():
    chance = random.Random(5)
    a, b = tokens(chance, 96), tokens(chance, 96)
    (run,) = match(library_of(source(a + b)), a + b, SPACE, exact_tokens=50)
    assert (run.start, run.tokens, run.is_exact) == (50, 142, True)
    other = tokens(chance, 96)
    (run,) = match(library_of(source(a + b)), other + b, SPACE)
    assert (run.start, run.shift, run.is_exact) == (96, 0, False)
    later = source(b, position=96)  # what was before it isn't known
    (run,) = match(library_of(later), a + b, SPACE)
    assert (run.start, run.shift, run.is_exact) == (96, 0, False)


def test_no_run_begins_before_the_exact_prefix_or_is_too_short():
    chance = random.Random(6)
    a = tokens(chance, 96)
    known = library_of(source([1, *a]))
    (run,) = match(known, [2, 3, *a], SPACE, exact_tokens=20)
    assert (run.start, run.tokens, run.source_start) == (20, 78, 19)
    (run,) = match(known, [2, 3, *a], SPACE, exact_tokens=65)
    assert (run.start, run.tokens, run.source_start) == (65, 33, 64)
    assert match(known, [2, 3, *a], SPACE, exact_tokens=66) == ()
    assert match(known, a[:31], SPACE) == match(known, [], SPACE) == ()


def test_a_run_goes_on_in_another_source():
    chance = random.Random(7)
    passage = tokens(chance, 300)
    first, second = source([1, *passage[:200]]), source([2, *passage[150:]])
    runs = match(library_of(first, second), [3, *passage], SPACE)
    assert runs == (Run(1, 200, first, 1), Run(201, 100, second, 51))


def test_segments_are_reused_whole_or_not_at_all():
    chance = random.Random(8)
    a, b = tokens(chance, 100), tokens(chance, 100)
    saved = source([0, *a, *b])
    known = library_of(saved)
    prompt = [1, 2, *b, *a[:80], *tokens(chance, 20)]
    assert match(known, prompt, SPACE, segments=[[102, 202], [2, 102]]) == (
        Run(2, 100, saved, 101),
    )
    assert match(known, prompt, SPACE, segments=[]) == ()
    runs = match(known, a + b, SPACE, segments=[[0, 100], [100, 200]])
    assert [(run.start, run.tokens) for run in runs] == [(0, 100), (100, 100)]
    (run,) = match(known, a + b, SPACE, segments=[[0, 100], [100, 200]], exact_tokens=150)
    assert (run.start, run.tokens, run.source_start) == (150, 50, 151)


@pytest.mark.parametrize("seed", range(20))
def test_segments_of_63_tokens_are_found_at_any_offset(seed):
    chance = random.Random(seed)
    passages = [tokens(chance, chance.randint(63, 90)) for _ in range(3)]
    old, new, segments = [], [], []
    for each in passages:
        old += tokens(chance, chance.randrange(40)) + each
    for each in reversed(passages):
        segments.append([len(new), len(new) + len(each)])
        new += each
    runs = match(library_of(source(old)), new, SPACE, segments=segments)
    check(new, runs)
    assert [[run.start, run.end] for run in runs] == segments


@pytest.mark.parametrize(
    "segments",
    [
        *([[0]], [[0, 1, 2]], [[2, 2]], [[-1, 5]], [[0, 101]], [[0, 50], [49, 60]]),
        *([5], "ab", 7, [["0", "5"]], [[0.0, 5.0]], [[False, True]], {0: 5}),
    ],
)
def test_malformed_segments_are_refused_with_their_value(segments):
    with pytest.raises(ValueError, match="segment"):
        match(library_of(), list(range(100)), SPACE, segments=segments)


def test_asking_changes_nothing():
    chance = random.Random(9)
    ids = [tokens(chance, 160) for _ in range(3)]
    known = Library(max_tokens=320)
    sources = [source(each) for each in ids]
    known.add(sources[0])
    known.add(sources[1])
    for _ in range(3):
        match(known, ids[0], SPACE)
        match(known, ids[0], Space.of(b"unseen"))
    known.add(sources[2])
    assert [each in known for each in sources] == [False, True, True]


def test_no_run_reads_a_chunk_that_is_missing():
    chance = random.Random(5)
    passage = tokens(chance, 256)
    saved = source(passage)
    for gone in ({saved.keys[0]}, {saved.keys[-1]}, set(saved.keys[2:3]), set(saved.keys)):
        runs = match(library_of(saved), [1, 2, 3, *passage, 4], SPACE, missing=gone)
        touched = {
            saved.keys[token // saved.chunk_tokens]
            for run in runs
            for token in range(run.source_start, run.source_end)
        }
        there = {key for key in saved.keys if key not in gone}
        assert touched == there
