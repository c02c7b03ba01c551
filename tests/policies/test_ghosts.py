"""Which runs are remembered of chunks that have no slot, and which are forgotten first."""

from __future__ import annotations

from kvtransfer.policies.ghosts import _GHOSTS_A_SLOT, _LEAST_GHOSTS, Ghosts
from kvtransfer.policies.run import Run


def run():
    return Run(0, 1, 0.0, is_last=False)


def keys(name, count):
    return [f"{name}{i}" for i in range(count)]


def evicted(ghosts, name, count):
    """A run of which ``count`` chunks are evicted."""
    made = run()
    ghosts.add_evicted(made, keys(name, count), range(count))
    return made


def test_a_ghost_is_found_by_its_key_until_its_chunk_gets_a_slot():
    ghosts, new = Ghosts(slots=4), run()
    ghosts.add_new(new, "cde", depth=2)
    ghosts.add_evicted(old := run(), "ba", [1, 0])
    assert [ghosts.run_of(key) for key in "abcde"] == [old, old, new, new, new]
    assert not ghosts.has_none_of("xe")
    assert [ghosts.pop(key) for key in "bce"] == [(old, 1), (new, 2), (new, 4)]
    assert ghosts.pop("b") is None
    assert ghosts.run_of("b") is None
    assert (len(ghosts), old.ghosts, new.ghosts) == (2, {"a": 0}, {"d": 3})
    assert ghosts.has_none_of("xb")


def test_as_many_are_kept_as_the_limit_says():
    for slots, most in ((0, _LEAST_GHOSTS), (_LEAST_GHOSTS, _GHOSTS_A_SLOT * _LEAST_GHOSTS)):
        ghosts = Ghosts(slots)
        evicted(ghosts, "a", 1)
        evicted(ghosts, "b", most - 1)
        assert list(ghosts.trim()) == []
        evicted(ghosts, "c", 1)
        assert [count for _, count in ghosts.trim()] == [1]
        assert len(ghosts) == most


def test_the_run_that_began_to_lose_chunks_first_is_forgotten_first_and_whole():
    ghosts = Ghosts(slots=0)
    first, second = evicted(ghosts, "a", 10), evicted(ghosts, "b", 20)
    ghosts.add_evicted(first, keys("later", 5), range(10, 15))
    third = evicted(ghosts, "c", _LEAST_GHOSTS - 20)
    assert list(ghosts.trim()) == [(first, 15)]
    assert (first.ghosts, len(second.ghosts)) == ({}, 20)
    assert ghosts.has_none_of([*keys("a", 10), *keys("later", 5)])
    assert ghosts.run_of("c0") is third
    assert len(ghosts) == _LEAST_GHOSTS


def test_runs_are_forgotten_until_the_rest_fits():
    ghosts = Ghosts(slots=0)
    few = [evicted(ghosts, f"{name}.", 2) for name in range(5)]
    evicted(ghosts, "many", _LEAST_GHOSTS - 3)
    assert list(ghosts.trim()) == [(made, 2) for made in few[:4]]


def test_a_run_whose_ghosts_all_got_slots_is_in_no_order():
    ghosts = Ghosts(slots=0)
    empty = evicted(ghosts, "a", 1)
    ghosts.pop("a0")
    rest = evicted(ghosts, "b", 1)
    evicted(ghosts, "c", _LEAST_GHOSTS)
    assert list(ghosts.trim()) == [(rest, 1)]
    assert empty.ghosts == {}


def test_a_new_run_is_forgotten_after_all_that_wait():
    ghosts, new = Ghosts(slots=0), run()
    ghosts.add_new(new, "ab", depth=0)
    old = evicted(ghosts, "c", _LEAST_GHOSTS - 2)
    ghosts.append(new)
    ghosts.append(run())  # one without ghosts has no place
    newest = evicted(ghosts, "d", 1)
    assert list(ghosts.trim()) == [(old, _LEAST_GHOSTS - 2)]
    evicted(ghosts, "e", _LEAST_GHOSTS)
    assert list(ghosts.trim()) == [(new, 2), (newest, 1)]


def test_ghosts_move_to_another_run_with_their_depths():
    ghosts, new = Ghosts(slots=0), run()
    old = evicted(ghosts, "a", 3)
    ghosts.move(old, new, ["a1"])
    assert (old.ghosts, new.ghosts) == ({"a0": 0, "a2": 2}, {"a1": 1})
    assert [ghosts.run_of(key) for key in keys("a", 3)] == [old, new, old]
    ghosts.move(old, new, ["a0", "a2"])
    ghosts.append(new)
    evicted(ghosts, "b", _LEAST_GHOSTS)
    assert list(ghosts.trim()) == [(new, 3)]
