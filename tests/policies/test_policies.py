import random

import pytest

from benchmarks.s3fifo import S3FIFO
from kvtransfer.errors import ConfigError
from kvtransfer.policies import POLICIES, open_policy
from kvtransfer.policies.learned import Learned
from kvtransfer.policies.miniature import MiniatureCache
from kvtransfer.scheduling.index import Index


def serve(index, keys):
    """A request as the connector makes it: held chunks pinned, the others claimed; all let go."""
    index.note_request(keys)
    held = {key: index.pin(key) for key in keys if key in index}
    taken = [held[key] if key in held else index.claim(key) for key in keys]
    for slot in taken:
        if slot is not None:
            index.unpin(slot)


def text(name, chunks):
    return [f"{name}{i}" for i in range(chunks)]


def held(index, keys):
    return [key in index for key in keys]


@pytest.mark.parametrize("name", ["lru", "arc"])
def test_what_was_used_last_stays(name):
    index = Index(3, name)
    for key in "abca":
        serve(index, [key])
    serve(index, ["d"])
    assert held(index, "abcd") == [True, False, True, True]


def test_arc_keeps_what_is_asked_for_again_through_a_scan():
    index = Index(4, "arc")
    for key in ["a", "b", "a", "b", *text("scan", 50)]:
        serve(index, [key])
    assert held(index, "ab") == [True, True]


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_of_another_size_decides_as_one_opened_for_it(name):
    """However many slots it was opened for, and whatever it has seen at another size."""
    asked = [text(f"talk{number % 7}.", 1 + number % 5) for number in range(400)]
    hits = {}
    for slots in (12, 40):
        policy = open_policy(name, slots)
        policy.resize(30)
        policy.resize(12)
        cache = MiniatureCache(policy, 12)
        hits[slots] = [cache.serve(keys) for keys in asked]
    cache = MiniatureCache(open_policy(name, 12), 12)
    assert hits[12] == hits[40] == [cache.serve(keys) for keys in asked]


def test_an_arc_that_shrinks_keeps_no_target_beyond_its_size():
    arc = open_policy("arc", 40)
    cache = MiniatureCache(arc, 8)
    for number in range(200):
        cache.serve(text(f"talk{number % 12}.", 3))
    arc.resize(8)
    assert 0 <= arc.recent_share <= 1


def test_the_default_learns_which_requests_come_again():
    """Chats of two turns come back, questions never do: chats stay, however many questions."""
    came_back = {"learned": 0, "lru": 0}
    for name in came_back:
        index = Index(40, name)
        for number in range(300):
            serve(index, [*text(f"chat{number}.", 3), f"end{number}"])
            serve(index, [*text(f"chat{number}.", 6), f"next{number}"])
            for question in range(3):
                serve(index, text(f"question{number}.{question}.", 5))
            old = text(f"chat{number - 3}.", 6)
            came_back[name] += held(index, old).count(True)
            serve(index, [*old, f"more{number}"])
    assert came_back["lru"] == 0
    assert came_back["learned"] > 0.7 * 300 * 6


def test_the_last_chunks_of_a_request_go_first():
    index = Index(12, "learned")
    chat = text("chat", 8)
    serve(index, chat[:4])
    serve(index, chat)
    for number in range(9):
        serve(index, text(f"other{number}.", number))
        there = held(index, chat)
        assert there == sorted(there, reverse=True)
    assert not all(there)


def test_no_chunk_outlives_its_prefix_in_any_order_of_letting_go():
    random_ = random.Random(5)
    index = Index(64, "learned")
    newest = []
    for number in range(400):
        chat = text(f"chat{number % 37}.", 2 + number % 11 + number // 37)
        index.note_request(chat)
        there = {key: index.pin(key) for key in chat if key in index}
        taken = [there[key] if key in there else index.claim(key) for key in chat]
        assert None not in taken
        random_.shuffle(taken)
        for slot in taken:
            index.unpin(slot)
        newest.append(chat)
        for last in newest[-8:]:
            shown = held(index, last)
            assert shown == sorted(shown, reverse=True)


def test_what_was_generated_goes_with_the_request_that_it_continues():
    index = Index(6, "learned")
    serve(index, ["a", "b"])
    index.unpin(index.claim("c", "b"))
    index.unpin(index.claim("d", "c"))
    for number in range(4):
        serve(index, [f"other{number}"])
    there = held(index, "abcd")
    assert there == sorted(there, reverse=True)


def test_what_is_remembered_of_evicted_chunks_is_bounded(monkeypatch):
    monkeypatch.setattr("kvtransfer.policies.ghosts._LEAST_GHOSTS", 50)
    monkeypatch.setattr("kvtransfer.policies.ghosts._GHOSTS_A_SLOT", 2)
    index = Index(10, "learned")
    for number in range(200):
        serve(index, text(f"chat{number % 90}.", 1 + number % 9))
    policy = index._policy
    assert isinstance(policy, Learned)
    assert len(policy._ghosts) <= 50 + 9
    assert len(policy._ghosts) == sum(len(run.ghosts) for run in policy._ghosts._order)


def test_the_chance_of_return_is_learned():
    index = Index(30, "learned")
    for number in range(2000):
        serve(index, [f"new{number}", f"end{number}"])
        if number >= 40:
            old = number - 40 if number % 2 else number % 7
            serve(index, [f"new{old}", f"more{number}"])
    assert "new1001" not in index
    assert 0.0 < index.chance("new1001") < 0.9
    assert Index(30, "lru").chance("new1001") == 1.0


@pytest.mark.parametrize("policy", [*POLICIES.values(), S3FIFO])
def test_every_resting_slot_goes_once_and_then_none(policy):
    it = policy(5)
    for slot, key in enumerate("abcde"):
        it.add([slot], [key], slot - 1 if slot else None)
        it.unpin([slot])
    it.pin([2])
    it.remove(4)
    assert sorted([*it.evict(2), *it.evict(2)]) == [0, 1, 3]
    assert it.evict(1) == []
    it.unpin([2])
    assert it.evict(1) == [2]


def test_an_unknown_policy_is_refused_by_name():
    with pytest.raises(ConfigError, match="'fifo' is not one of learned, lru, arc"):
        open_policy("fifo", 1)
