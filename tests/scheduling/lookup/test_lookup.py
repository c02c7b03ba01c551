from concurrent.futures import Future
from contextlib import closing
from threading import Event

import pytest

from kvtransfer.chunks.keys import EntryKeys
from kvtransfer.config import TransferConfig
from kvtransfer.scheduling.lookup.lookup import Lookup
from kvtransfer.testing import CHUNK
from tests.fake_clock import FakeClock

NAMES = EntryKeys("m", world_size=2)


class AskedStore:
    """Holds ``entries``; answers when ``open`` is set, and says what it was asked."""

    names = ("disk", "remote")

    def __init__(self, *entries, **tiers):
        self.entries = dict.fromkeys(entries, "remote") | tiers
        self.open, self.busy = Event(), Event()
        self.open.set()
        self.asked = []
        self.closed = False

    def locate(self, keys):
        self.busy.set()
        self.open.wait(10)
        self.asked.append(list(keys))
        return [self.entries.get(key) for key in keys]

    def close(self):
        self.closed = True


@pytest.fixture
def clock():
    return FakeClock()


def awaited(lookup, request_id):
    """The answer, once the thread has given it."""
    lookup._questions[request_id].answer.result(10)
    return lookup.answer(request_id)


def test_a_chunk_is_there_when_all_ranks_parts_are(clock):
    store = AskedStore("m@2@0@a", "m@2@1@a", "m@2@0@b")
    lookup = Lookup(store, NAMES.shards, 1.0, clock)
    lookup.ask("r", ["a", "b", "c"])
    assert awaited(lookup, "r") == {"a"}
    assert store.asked == [[f"m@2@{rank}@{key}" for key in "abc" for rank in (0, 1)]]
    lookup.close()
    assert store.closed


def test_a_chunk_is_in_the_slowest_tier_that_has_one_of_its_parts():
    tiers = {"a/0": "disk", "a/1": "remote", "b/0": "disk", "b/1": "disk", "c/0": "disk"}
    store = AskedStore(**tiers)
    with closing(Lookup(store, lambda key: [f"{key}/0", f"{key}/1"], timeout_s=60)) as lookup:
        located = lookup.wait("abcd")
    assert {key: located[key] for key in located} == {"a": "remote", "b": "disk"}
    assert located - {"a"} == {"b"}
    assert len(located) == 2
    with pytest.raises(KeyError):
        located["c"]


def test_nothing_is_known_until_the_store_answers(clock):
    store = AskedStore("m@2@0@a", "m@2@1@a")
    store.open.clear()
    lookup = Lookup(store, NAMES.shards, 1.0, clock)
    assert not lookup.asked("r")
    assert not lookup.is_waiting
    lookup.ask("r", ["a"])
    assert lookup.asked("r")
    assert lookup.answer("r") is None
    assert lookup.is_waiting
    store.open.set()
    assert awaited(lookup, "r") == {"a"}
    assert awaited(lookup, "r") == {"a"}  # remembered, not asked again
    assert len(store.asked) == 1
    lookup.forget("r")
    assert not lookup.asked("r")
    lookup.close()


def test_keys_may_be_known_later(clock):
    store, keys = AskedStore("m@2@0@a", "m@2@1@a"), Future()
    with closing(Lookup(store, NAMES.shards, 1.0, clock)) as lookup:
        lookup.ask_when_known("r", keys)
        assert lookup.asked("r")
        assert lookup.is_waiting
        assert lookup.answer("r") is None
        keys.set_result(["a", "b"])
        assert awaited(lookup, "r") == {"a"}


def test_a_late_answer_counts_as_misses_and_stays_so(clock):
    store = AskedStore("m@2@0@a", "m@2@1@a")
    store.open.clear()
    lookup = Lookup(store, NAMES.shards, 1.0, clock)
    lookup.ask("r", ["a"])
    assert store.busy.wait(10)
    clock.now_s = 1.0
    assert lookup.answer("r") == set()
    assert lookup.took_s("r") == 1.0
    store.open.set()
    lookup.close()  # by now it has been answered
    assert lookup.answer("r") == set()
    assert (lookup.take_late(), lookup.take_late()) == (1, 0)


def test_questions_nobody_waits_for_any_more_are_not_asked(clock):
    store = AskedStore()
    store.open.clear()
    lookup = Lookup(store, NAMES.shards, 1.0, clock)
    for request_id in "rst":
        lookup.ask(request_id, ["a"])
    assert store.busy.wait(10)
    clock.now_s = 5.0
    store.open.set()
    lookup.close()
    assert len(store.asked) == 1


def test_who_may_wait_waits_no_longer_than_that():
    store = AskedStore("m@2@0@a", "m@2@1@a")
    lookup = Lookup(store, NAMES.shards, 0.05)
    assert lookup.wait(["a", "b"]) == {"a"}
    store.open.clear()
    assert lookup.wait(["a"]) == set()
    assert lookup.take_late() == 1
    store.open.set()
    lookup.close()


def test_without_a_store_there_is_none():
    assert Lookup.open(TransferConfig.of(), CHUNK, NAMES) is None


def test_how_long_answers_took_is_told_once(clock):
    store = AskedStore("m@2@0@a", "m@2@1@a")
    store.open.clear()
    lookup = Lookup(store, NAMES.shards, 1.0, clock)
    lookup.ask("r", ["a"])
    clock.now_s += 0.25
    assert lookup.waited_s("r") == 0.25
    assert lookup.take_answer_seconds() == []
    store.open.set()
    awaited(lookup, "r")
    clock.now_s += 1.0
    assert lookup.took_s("r") == 0.25
    assert lookup.take_answer_seconds() == [0.25]
    assert lookup.take_answer_seconds() == []
    assert lookup.found == {"remote": "a"}
    lookup.close()


def test_questions_that_wait_are_asked_in_one_batch(clock):
    store = AskedStore("m@2@0@b", "m@2@1@b")
    store.open.clear()
    lookup = Lookup(store, NAMES.shards, 1.0, clock)
    lookup.ask("first", ["a"])
    assert store.busy.wait(10)
    lookup.ask("second", ["a", "b"])
    lookup.ask("third", ["b", "c"])
    store.open.set()
    assert [awaited(lookup, each) for each in ("first", "second", "third")] == [set(), {"b"}, {"b"}]
    lookup.close()
    assert store.asked[1:] == [[f"m@2@{rank}@{key}" for key in "abc" for rank in (0, 1)]]


def test_an_exception_is_a_miss_and_later_questions_are_answered(caplog):
    class FaultyStore(AskedStore):
        def locate(self, keys):
            if not self.asked:
                self.asked.append(list(keys))
                raise AttributeError("'NoneType' object has no attribute 'decode'")
            return super().locate(keys)

    with closing(Lookup(FaultyStore("b"), lambda key: [key], timeout_s=60)) as lookup:
        lookup.ask("r1", ["a", "b"])
        assert awaited(lookup, "r1") == set()
        lookup.ask("r2", ["a", "b"])
        assert awaited(lookup, "r2") == {"b"}
    assert "no attribute 'decode'" in caplog.text


def test_keys_that_could_not_be_worked_out_are_misses():
    with closing(Lookup(AskedStore("a"), lambda key: [key], timeout_s=60)) as lookup:
        keys = Future()
        lookup.ask_when_known("r1", keys)
        keys.set_exception(MemoryError())
        assert awaited(lookup, "r1") == set()
