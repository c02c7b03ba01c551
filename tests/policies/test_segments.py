"""How a request is divided by the runs that are known of it."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.policies.ghosts import Ghosts
from kvtransfer.policies.run import Run
from kvtransfer.policies.segments import segments


def run():
    return Run(0, 1, 0.0, is_last=False)


def divided(keys, held=None, ghosts=None):
    """The segments of ``keys``, with the runs of held chunks and of ghosts by key."""
    held, remembered = held or {}, Ghosts(slots=8)
    for key, of_run in (ghosts or {}).items():
        remembered.add_evicted(of_run, [key], [0])
    return segments(keys, {key: i for i, key in enumerate(held)}, list(held.values()), remembered)


def test_of_a_new_request_only_the_last_chunk_is_apart():
    assert divided("abcd") == [(None, 3), (None, 1)]
    assert divided("a") == [(None, 1)]


def test_held_chunks_and_ghosts_of_a_run_are_one_segment():
    one, other = run(), run()
    held, ghosts = {"a": one, "c": one}, {"b": one, "d": other, "e": other}
    assert divided("abcde", held, ghosts) == [(one, 3), (other, 1), (other, 1)]


def test_the_last_chunk_is_apart_once():
    one, other = run(), run()
    assert divided("abc", dict.fromkeys("abc", one)) == [(one, 2), (one, 1)]
    assert divided("abc", {"a": one, "b": one, "c": other}) == [(one, 2), (other, 1)]
    assert divided("abcd", {"a": one}) == [(one, 1), (None, 2), (None, 1)]


def test_nothing_is_said_of_what_follows_the_first_new_chunks():
    one, other = run(), run()
    assert divided("abcd", {"a": one, "d": other}) == [(one, 1), (None, 2)]


RUNS = [None, run(), run(), run()]


@given(st.lists(st.tuples(st.sampled_from(RUNS), st.booleans()), min_size=1, max_size=12))
def test_segments_are_the_longest_stretches_of_one_run(chunks):
    """But for the last chunk; the first new stretch is the last that is told."""
    keys = [f"k{i}" for i in range(len(chunks))]
    known = {key: (of, is_held) for key, (of, is_held) in zip(keys, chunks, strict=True) if of}
    found = divided(
        keys,
        {key: of for key, (of, is_held) in known.items() if is_held},
        {key: of for key, (of, is_held) in known.items() if not is_held},
    )
    told = [of for of, count in found for _ in range(count)]
    assert told == [of for of, _ in chunks][: len(told)]
    is_whole = len(told) == len(chunks)
    stretches = found[:-1] if is_whole else found
    assert all(one is not other for (one, _), (other, _) in pairwise(stretches))
    assert None not in [of for of, _ in stretches[:-1]]
    if is_whole:
        assert found[-1][1] == 1
    else:
        assert told[-1] is None
        assert chunks[len(told)][0] is not None
