from types import SimpleNamespace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.errors import ConfigError
from kvtransfer.host_memory import slots
from kvtransfer.policies import POLICIES
from kvtransfer.scheduling.index import Index

SLOTS = 4
# Three texts that have their first chunks in common, and a chunk that belongs to none.
TEXTS = ["abcd", "abef", "ag", "h"]
KEYS = sorted(set("".join(TEXTS)))
keys = st.sampled_from(KEYS)


class IndexAgainstAModel(RuleBasedStateMachine):
    """The model: the chunk found in each slot, and pins; any idle chunk may be evicted."""

    policy = ""

    def __init__(self):
        super().__init__()
        self.index = Index(SLOTS, self.policy)
        self.found = {}
        self.pins = {}
        self.evicted = 0

    @rule(text=st.sampled_from(TEXTS), length=st.integers(0, SLOTS))
    def note_request(self, text, length):
        self.index.note_request(text[:length])

    @rule(key=keys, after=keys | st.none())
    def claim(self, key, after):
        if key in self.found:
            with pytest.raises(ValueError, match=key):
                self.index.claim(key, after)
            return
        taken = set(self.found.values()) | {slot for slot, n in self.pins.items() if n}
        idle = self.idle
        slot = self.index.claim(key, after)
        if len(taken) < SLOTS:
            assert slot not in taken
        elif idle:
            (gone,) = [key for key in self.found if key not in self.index]
            assert gone in idle
            assert slot == self.found.pop(gone)
            self.evicted += 1
        else:
            assert slot is None
            return
        self.found[key], self.pins[slot] = slot, 1

    @property
    def idle(self):
        return {key for key, slot in self.found.items() if not self.pins[slot]}

    @precondition(lambda self: self.found)
    @rule(data=st.data())
    def pin(self, data):
        key = data.draw(st.sampled_from(sorted(self.found)))
        slot = self.index.pin(key)
        assert slot == self.found[key]
        self.pins[slot] += 1

    @rule(text=st.sampled_from(TEXTS))
    def pin_all(self, text):
        assert self.index.pin_all(text) == [self.found.get(key) for key in text]
        for slot in filter(lambda slot: slot is not None, map(self.found.get, text)):
            self.pins[slot] += 1

    @precondition(lambda self: any(self.pins.values()))
    @rule(data=st.data())
    def unpin(self, data):
        slot = data.draw(st.sampled_from(sorted(s for s, n in self.pins.items() if n)))
        self.index.unpin(slot)
        self.pins[slot] -= 1

    @rule(slot=st.integers(0, SLOTS - 1))
    def forget(self, slot):
        self.index.forget(slot)
        self.found = {key: held for key, held in self.found.items() if held != slot}

    @rule()
    def clear(self):
        self.index.clear()
        self.found = {}

    @rule(slot=st.integers(0, SLOTS - 1))
    def unpin_what_is_not_pinned(self, slot):
        if not self.pins.get(slot):
            with pytest.raises(ValueError, match=f"slot {slot}"):
                self.index.unpin(slot)

    @invariant()
    def agrees(self):
        busy = set(self.found.values()) | {slot for slot, n in self.pins.items() if n}
        assert len(self.index) == len(self.found)
        assert self.index.room == SLOTS - len(busy) + len(self.idle)
        for key in KEYS:
            assert (key in self.index) == (key in self.found)
            pins = self.pins[self.found[key]] if key in self.found else None
            assert self.index.pins([key]) == [pins]

    def teardown(self):
        assert self.index.take_evictions() == self.evicted
        assert self.index.take_evictions() == 0


@pytest.mark.parametrize("name", POLICIES)
def test_any_policy_keeps_the_books(monkeypatch, name):
    for limit in ("_GHOSTS_A_SLOT", "_LEAST_GHOSTS"):
        monkeypatch.setattr(f"kvtransfer.policies.ghosts.{limit}", 1)  # so that some are forgotten
    machine = type("Machine", (IndexAgainstAModel,), {"policy": name})
    case = machine.TestCase
    case.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
    case().runTest()


def test_slots_are_counted_or_refused():
    chunk = ChunkFormat.split("float16", 1, 256, 1, 1024)  # 1 MiB
    assert slots(SimpleNamespace(max_local_cpu_size=1.0), chunk) == 1024
    with pytest.raises(
        ConfigError, match=r"max_local_cpu_size=0.0009 GiB holds no chunk of 1.0 MiB"
    ):
        slots(SimpleNamespace(max_local_cpu_size=0.0009), chunk)
