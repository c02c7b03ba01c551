from types import SimpleNamespace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kvtransfer.errors import ConfigError
from kvtransfer.index import Index, slots
from kvtransfer.layout import ChunkFormat

SLOTS = 4
keys = st.sampled_from("abcdefg")


class IndexAgainstAModel(RuleBasedStateMachine):
    """The model: the chunk found in each slot, pins, and the order of last use."""

    def __init__(self):
        super().__init__()
        self.index = Index(SLOTS)
        self.found = {}
        self.pins = {}
        self.used = []  # keys that nothing pins, least recently used first
        self.evicted = 0

    @rule(key=keys)
    def claim(self, key):
        if key in self.found:
            with pytest.raises(ValueError, match=key):
                self.index.claim(key)
            return
        taken = set(self.found.values()) | {slot for slot, n in self.pins.items() if n}
        slot = self.index.claim(key)
        if len(taken) < SLOTS:
            assert slot not in taken
        elif self.used:
            assert slot == self.found.pop(self.used.pop(0))
            self.evicted += 1
        else:
            assert slot is None
            return
        self.found[key], self.pins[slot] = slot, 1

    @precondition(lambda self: self.found)
    @rule(data=st.data())
    def pin(self, data):
        key = data.draw(st.sampled_from(sorted(self.found)))
        slot = self.index.pin(key)
        assert slot == self.found[key]
        self.pins[slot] += 1
        if key in self.used:
            self.used.remove(key)

    @precondition(lambda self: any(self.pins.values()))
    @rule(data=st.data())
    def unpin(self, data):
        slot = data.draw(st.sampled_from(sorted(s for s, n in self.pins.items() if n)))
        self.index.unpin(slot)
        self.pins[slot] -= 1
        if self.pins[slot] == 0:
            self.used += [key for key, held in self.found.items() if held == slot]

    @rule(slot=st.integers(0, SLOTS - 1))
    def forget(self, slot):
        self.index.forget(slot)
        for key in [key for key, held in self.found.items() if held == slot]:
            del self.found[key]
            if key in self.used:
                self.used.remove(key)

    @rule()
    def clear(self):
        self.index.clear()
        self.found, self.used = {}, []

    @rule(slot=st.integers(0, SLOTS - 1))
    def unpin_what_is_not_pinned(self, slot):
        if not self.pins.get(slot):
            with pytest.raises(ValueError, match=f"slot {slot}"):
                self.index.unpin(slot)

    @invariant()
    def agrees(self):
        busy = set(self.found.values()) | {slot for slot, n in self.pins.items() if n}
        assert len(self.index) == len(self.found)
        assert self.index.room == SLOTS - len(busy) + len(self.used)
        for key in "abcdefg":
            assert (key in self.index) == (key in self.found)
            assert self.index.is_idle(key) == (key in self.used)

    def teardown(self):
        assert self.index.take_evictions() == self.evicted
        assert self.index.take_evictions() == 0


TestIndex = IndexAgainstAModel.TestCase
TestIndex.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_slots_are_counted_or_refused():
    chunk = ChunkFormat.split("float16", 1, 256, 1, 1024)  # 1 MiB
    assert slots(SimpleNamespace(max_local_cpu_size=1.0), chunk) == 1024
    with pytest.raises(
        ConfigError, match=r"max_local_cpu_size=0.0009 GiB holds no chunk of 1.0 MiB"
    ):
        slots(SimpleNamespace(max_local_cpu_size=0.0009), chunk)
