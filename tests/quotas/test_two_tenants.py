"""Two tenants write as fast as they can through the scheduler of an engine: their quotas hold."""

from __future__ import annotations

from collections import deque

import pytest

from kvtransfer.policies import POLICIES
from kvtransfer.quotas import HostLimits
from kvtransfer.quotas.fair_policy import FairPolicy
from kvtransfer.quotas.slot_limits import SlotLimits
from tests.fake_clock import FakeClock
from tests.requests.engine import CHUNK, Engine, copied

SLOTS, SLOT_BYTES = 256, 1000
CHUNKS = 12
"""Of each prompt."""


class Writers:
    """Prompts of several tenants, one after another; the copies of each end some steps later."""

    def __init__(self, quotas, policy="learned", late_steps=3):
        limits = {tenant: slots * SLOT_BYTES for tenant, slots in quotas.items()}
        limits = SlotLimits(SLOTS, SLOT_BYTES, HostLimits(None, limits))
        self.engine = Engine(SLOTS, tenants=FairPolicy(limits, policy, FakeClock()))
        self.copies = deque([()] * late_steps)
        self.most = dict.fromkeys(quotas, 0)
        self.count = 0

    def write(self, tenant):
        """A prompt that never came before, computed in one step and saved."""
        self.count += 1
        tokens = [self.count] * (CHUNKS * CHUNK + 1)
        request = self.engine.request(f"r{self.count}", tokens, tenant=tenant)
        ids = self.engine.blocks(len(tokens))
        assert self.engine.match(request, 0) == 0
        self.engine.admit(request, ids, 0)
        self.step(self.engine.step(new=[(request, ids, 0, len(tokens))]))
        self.engine.side.finish(request, owns_blocks=True)

    def step(self, plan):
        self.copies.append([*plan.first_saves, *plan.jobs.saves])
        self.engine.side.take(copied(self.copies.popleft()))
        for tenant in self.most:
            self.most[tenant] = max(self.most[tenant], self.held(tenant))

    def held(self, tenant):
        return self.engine.planner.index.tenant_bytes()[tenant] // SLOT_BYTES


@pytest.mark.parametrize("policy", POLICIES)
def test_quotas_hold_and_are_used(policy):
    writers = Writers({"a": 70, "b": 131}, policy)
    for _ in range(60):
        writers.write("a")
        writers.write("b")
    assert writers.most == {"a": 70, "b": 131}
    assert writers.held("a") >= 0.98 * 70
    assert writers.held("b") >= 0.98 * 131
    counted = writers.engine.side.counted()
    assert counted["quota_evicted_chunks"] == counted["evicted_chunks"] > 0


def test_tenants_that_want_more_than_there_is_share_it():
    writers = Writers({"a": 150, "b": 250})
    for _ in range(60):
        writers.write("a")
        writers.write("b")
    assert abs(writers.held("a") - SLOTS // 2) <= CHUNKS
    assert writers.held("a") + writers.held("b") == SLOTS
    assert writers.engine.side.counted()["share_evicted_chunks"] > 0


def test_a_save_that_a_quota_leaves_no_room_for_is_not_made_and_is_counted():
    """No copy ends, so that all of the tenant's chunks are in use."""
    writers = Writers({"a": 2 * CHUNKS + 5}, late_steps=100)
    for _ in range(4):
        writers.write("a")
    for _ in range(8):
        writers.step(writers.engine.step())
    counted = writers.engine.side.counted()
    assert writers.most == {"a": 2 * CHUNKS + 5}
    assert counted["quota_refused_chunks"] == 2 * CHUNKS - 5
    assert "save_skipped_chunks" not in counted
