"""The index, with tenants: against a model in any order, and what its promises are worth."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kvtransfer.chunks.keys import tenant_of
from kvtransfer.policies import POLICIES
from kvtransfer.quotas import HostLimits
from kvtransfer.quotas.fair_policy import FairPolicy
from kvtransfer.quotas.slot_limits import SlotLimits
from kvtransfer.scheduling.index import Index
from tests.fake_clock import FakeClock

SLOTS = 12
IDLE_S = 10.0
LIMITS = SlotLimits(SLOTS, 1, HostLimits(None, {"a": 4, "b": 9}, IDLE_S))
TENANTS = ["a", "b", "c", ""]
tenants = st.sampled_from(TENANTS)


def opened(limits=LIMITS, policy="lru", clock=None):
    return Index(limits.slots, tenants=FairPolicy(limits, policy, clock or FakeClock()))


def keys_of(tenant, numbers):
    return [f"{number}.{tenant}" if tenant else f"{number}" for number in numbers]


class TenantsAgainstAModel(RuleBasedStateMachine):
    """The model: whose chunk is found in each slot, how often it is pinned, who was active when."""

    policy = ""

    def __init__(self):
        super().__init__()
        self.clock = FakeClock()
        self.fair = FairPolicy(LIMITS, self.policy, self.clock)
        self.index = Index(SLOTS, tenants=self.fair)
        self.found = {}
        self.pins = {}
        self.used_s = {}
        self.numbers = dict.fromkeys(TENANTS, 0)
        self.gone = 0
        """Chunks that the last claim evicted."""

    def held(self, tenant):
        return [key for key in self.found if key in keys_of(tenant, range(self.numbers[tenant]))]

    def idle(self, tenant):
        return [key for key in self.held(tenant) if not self.pins[self.found[key]]]

    def is_active(self, tenant):
        return self.clock() - self.used_s.get(tenant, -1e9) <= IDLE_S

    @rule(tenant=tenants, numbers=st.lists(st.integers(0, 9), max_size=5, unique=True))
    def note_request(self, tenant, numbers):
        self.index.note_request(keys_of(tenant, sorted(numbers)))
        if numbers:
            self.used_s[tenant] = self.clock()

    @rule(tenant=tenants)
    def claim_one(self, tenant):
        """The one that gives way is the largest, or has no share, or is the tenant itself."""
        self.used_s[tenant] = self.clock()
        before = {each: self.idle(each) for each in TENANTS}
        sizes = {each: len(self.held(each)) for each in TENANTS if before[each]}
        mine = len(self.held(tenant)) + 1
        retired = [each for each in sizes if not self.is_active(each)]
        is_full = len(self.held(tenant)) == LIMITS.of_tenant(tenant)
        has_free = self.index.free > 0
        self.index.take_tenant_counts()
        gone = self.claim(tenant, 1)
        if is_full:
            assert gone in (tenant, None)
        elif has_free or not sizes:
            assert gone is None
        elif retired:
            assert gone in retired
        elif tenant in sizes and mine >= max(sizes.values()):
            assert gone == tenant
        else:
            assert sizes[gone] == max(sizes.values())
        counted = self.index.take_tenant_counts()
        assert counted.get("quota_evicted_chunks", 0) == (is_full and gone is not None)
        assert counted.get("share_evicted_chunks", 0) == (gone not in (tenant, None))

    @rule(tenant=tenants, most=st.integers(0, SLOTS))
    def claim_what_is_promised(self, tenant, most):
        """As many chunks as there is room for do get slots."""
        count = min(most, max(0, self.index.room_in(tenant)))
        evicted = len(self.found)
        self.claim(tenant, count)
        assert count == len(self.found) - (evicted - self.gone)

    def claim(self, tenant, count):
        keys = keys_of(tenant, range(self.numbers[tenant], self.numbers[tenant] + count))
        self.numbers[tenant] += count
        if count:
            self.used_s[tenant] = self.clock()
        held = dict(self.found)
        slots = self.index.claim_all(keys)
        gone = [key for key in held if key not in self.index]
        owners = {key.partition(".")[2] for key in gone}
        for key in gone:
            assert not self.pins[self.found.pop(key)]
        self.gone = len(gone)
        for key, slot in zip(keys, slots, strict=False):
            self.found[key], self.pins[slot] = slot, 1
        return owners.pop() if len(owners) == 1 else None

    @precondition(lambda self: self.found)
    @rule(data=st.data())
    def pin(self, data):
        key = data.draw(st.sampled_from(sorted(self.found)))
        self.pins[self.index.pin(key)] += 1

    @precondition(lambda self: any(self.pins.values()))
    @rule(data=st.data())
    def unpin_some(self, data):
        pinned = sorted(slot for slot, pins in self.pins.items() if pins)
        slots = data.draw(st.lists(st.sampled_from(pinned), min_size=1, unique=True))
        self.index.unpin_all(slots)
        for slot in slots:
            self.pins[slot] -= 1

    @rule()
    def evict_pinned(self):
        evicted = self.index.evict_pinned()
        assert (evicted is None) == (not any(self.idle(each) for each in TENANTS))
        if evicted is not None:
            slot, key = evicted
            assert self.found.pop(key) == slot
            self.pins[slot] = 1

    @rule()
    def evict_ahead(self):
        """What goes is of a tenant that has less than a sixteenth of its quota left."""
        evicted = self.index.evict_ahead()
        if evicted is not None:
            slot, key = evicted
            tenant = tenant_of(key)
            assert len(self.held(tenant)) == LIMITS.of_tenant(tenant) < SLOTS
            assert self.found.pop(key) == slot
            self.pins[slot] = 1

    @rule(slot=st.integers(0, SLOTS - 1))
    def forget(self, slot):
        self.index.forget(slot)
        self.found = {key: held for key, held in self.found.items() if held != slot}

    @rule(seconds=st.sampled_from([1.0, 6.0, 20.0]))
    def wait(self, seconds):
        self.clock.now_s += seconds

    @invariant()
    def agrees(self):
        for tenant in TENANTS:
            assert self.fair.held(tenant) == len(self.held(tenant)) <= LIMITS.of_tenant(tenant)
            assert self.index.room_in(tenant) <= self.index.room
        for key, slot in self.found.items():
            assert self.index.find_all([key]) == [slot]

    def teardown(self):
        assert len(self.index) == len(self.found)
        named = {each or "none": len(self.held(each)) for each in ("a", "b", "")}
        assert self.index.tenant_bytes() == {**named, "other": len(self.held("c"))}


@pytest.mark.parametrize("name", POLICIES)
def test_any_policy_keeps_the_books_of_all_tenants(name):
    machine = type("Machine", (TenantsAgainstAModel,), {"policy": name})
    case = machine.TestCase
    case.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
    case().runTest()
