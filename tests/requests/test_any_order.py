"""Requests come, load, run, end and are aborted in any order: no block and no slot is mixed up."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kvtransfer.plan import Plan, Report
from kvtransfer.quotas import HostLimits
from kvtransfer.quotas.fair_policy import FairPolicy
from kvtransfer.quotas.slot_limits import SlotLimits
from kvtransfer.requests.step import StepPlan
from tests.fake_clock import FakeClock
from tests.requests.engine import BLOCK, CHUNK, WEIGHTS, Engine, RequestKeys


class Pool:
    """Blocks that are given away again at once, and what the workers have written into each."""

    def __init__(self, count):
        self.free = list(range(count))
        self.contents = {}

    def take(self, tokens):
        count = -(-tokens // BLOCK)
        taken, self.free = self.free[:count], self.free[count:]
        return taken

    def write(self, ids, tokens, first=0):
        """The prefix of ``tokens`` up to its end is what a block holds."""
        for i, block in enumerate(ids, first):
            self.contents[block] = tuple(tokens[: (i + 1) * BLOCK])

    def spoil(self, ids):
        self.contents.update(dict.fromkeys(ids))


class Keys(RequestKeys):
    """Remembers which tokens each key stands for."""

    def __init__(self, weights):
        super().__init__(weights)
        self.tokens = {}

    def chain(self, request, weights):
        known, tokens = super().chain(request, weights), request.all_token_ids
        for i, key in enumerate(known.extend(tokens), 1):
            self.tokens[key] = tokens[: i * CHUNK]
        return super().chain(request, weights)


SHARED = st.sampled_from([0, 8, 24])
TENANTS = ["", "a", "b"]


class AnyOrder(RuleBasedStateMachine):
    """Requests come, load, run, finish and are aborted while reports arrive in any order."""

    def __init__(self):
        super().__init__()
        self.engine = Engine(slots=6, request_keys=Keys, tenants=self.tenants())
        self.known = self.engine.request_keys
        self.pool = Pool(24)
        self.waiting, self.loading, self.running = {}, {}, {}
        self.jobs = []  # (kind, job) that a worker is at
        self.copying = {}  # saves whose blocks have not been read
        self.owned = {}  # blocks by request
        self.filled = {}  # the chunk whose bytes each slot has
        self.failed = set()
        self.count = 0

    def tenants(self):
        """Quotas; None: there are none."""
        return None

    @rule(length=st.integers(1, 42), shared=SHARED, stored=st.booleans())
    def arrive(self, length, shared, stored):
        self.queue(length, shared, stored)

    @precondition(lambda self: len(self.pool.free) >= 11)
    @rule(length=st.integers(17, 42), shared=SHARED, stored=st.booleans())
    def arrive_and_end(self, length, shared, stored):
        """One token is all it wanted."""
        name = self.queue(length, shared, stored)
        self.begin(name)
        if name in self.running:
            self.end(name)

    def queue(self, length, shared, stored):
        self.count += 1
        tokens = [0 if i < shared else self.count for i in range(length)]
        name = f"r{self.count}"
        tenant = TENANTS[self.count % len(TENANTS)]
        self.waiting[name] = self.engine.request(name, tokens, tenant=tenant)
        if stored:
            self.engine.store(tokens, tenant=tenant)
        return name

    @precondition(lambda self: self.waiting and len(self.pool.free) >= 11)
    @rule(data=st.data())
    def schedule(self, data):
        self.begin(data.draw(st.sampled_from(sorted(self.waiting))))

    def begin(self, name):
        request = self.waiting[name]
        tokens = len(request.all_token_ids)
        external = self.match(name, request)
        if external is None:
            self.worker(self.engine.step())
            return
        del self.waiting[name]
        ids = self.owned[name] = self.pool.take(external or tokens)
        self.engine.admit(request, ids, external)
        if external:
            self.loading[name] = request
            self.worker(self.engine.step())
        else:
            self.run(request, ids, 0)

    def match(self, name, request):
        """How many tokens a load could bring; None: ask again."""
        external = self.engine.match(request, 0)
        if external is not None:
            assert 0 <= external <= len(request.all_token_ids)
            assert external % CHUNK == 0
        return external

    def run(self, request, ids, computed):
        self.running[request.request_id] = request
        tokens = request.all_token_ids
        plan = self.engine.step(new=[(request, ids, computed, len(tokens) - computed)])
        self.worker(plan, lambda: self.pool.write(ids, tokens))

    @rule(data=st.data())
    def step(self, data):
        """Some of those that run are computed."""
        names = sorted(self.running)
        chosen = data.draw(st.lists(st.sampled_from(names), unique=True)) if names else []
        parts = [(self.running[name], [], self.tokens(name), 1) for name in chosen]
        plan = self.engine.step(cached=parts)
        self.worker(plan)
        if plan.wants_report:
            self.take(Report())

    def tokens(self, name):
        return len(self.running[name].all_token_ids)

    def worker(self, plan, compute=lambda: None):
        for put in plan.jobs.puts:
            assert self.filled.get(put.slot) == put.key
        for job in (*plan.first_saves, *plan.jobs.loads, *plan.jobs.saves):
            if not hasattr(job, "fetch") or job.fetch:
                self.filled.pop(job.slot, None)
        self.copying.update({save.job: save for save in plan.first_saves})
        if plan.reuses_blocks:
            for job in list(self.copying):
                self.read(job)
        for load in plan.jobs.loads:
            self.pool.spoil(load.block_ids)
        compute()
        self.copying.update({save.job: save for save in plan.jobs.saves})
        self.jobs += [("loaded", load) for load in plan.jobs.loads]
        saves = (*plan.first_saves, *plan.jobs.saves)
        self.jobs += [(kind, save) for save in saves for kind in ("copied", "stored")]
        self.jobs += [("stored", put) for put in plan.jobs.puts]
        if plan.voided_blocks:
            self.failed.update(*plan.voided_blocks.values())
            for request in self.take(Report(), plan.voided_blocks):
                self.receive(request)

    def read(self, job):
        save = self.copying.pop(job, None)
        if save is not None:
            tokens = self.known.tokens[save.key]
            own = range(len(tokens) - CHUNK + BLOCK, len(tokens) + 1, BLOCK)
            expected = [tuple(tokens[:end]) for end in own]
            assert [self.pool.contents[block] for block in save.block_ids] == expected
            self.filled[save.slot] = save.key

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), fails=st.booleans())
    def report(self, data, fails):
        self.end_job(data.draw(st.integers(0, len(self.jobs) - 1)), fails)

    def end_job(self, number, fails):
        kind, job = self.jobs.pop(number)
        report = Report(**{kind: {job.job: 1}})
        if kind == "copied":
            self.read(job.job)
        if kind == "loaded" and not fails:
            self.filled[job.slot] = job.key
        if kind == "loaded" and not fails and job.block_ids:
            first = len(self.known.tokens[job.key]) // BLOCK - len(job.block_ids)
            self.pool.write(job.block_ids, self.known.tokens[job.key], first)
        if fails and kind != "stored":
            report.failed.add(job.job)
            self.failed.update(() if kind == "computed" else job.block_ids)
        for request in self.take(report):
            self.receive(request)

    def receive(self, request):
        name, tokens = request.request_id, request.all_token_ids
        ids = self.owned.get(name, [])
        computed = 0 if self.failed.intersection(ids) else self.loaded_tokens(name, ids)
        if hasattr(request, "aborted"):
            self.give_back(name)
        else:
            more = -(-len(tokens) // BLOCK) - len(ids)
            if more <= len(self.pool.free):
                self.owned[name] = ids = [*ids, *self.pool.take(more * BLOCK)]
                self.engine.admit(request, ids, 0)
                self.run(request, ids, computed)
            else:
                self.give_back(name)
                self.engine.side.finish(request, owns_blocks=True)

    def loaded_tokens(self, name, ids):
        return len(ids) * BLOCK

    def give_back(self, name):
        ids = self.owned.pop(name)
        self.failed.difference_update(ids)
        self.pool.free = [*reversed(ids), *self.pool.free]

    def take(self, report, voided=()):
        """Returns the requests received."""
        received = self.engine.side.take(report, voided=voided)
        assert received <= self.loading.keys()
        return [self.loading.pop(name) for name in received]

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data):
        self.end(data.draw(st.sampled_from(sorted(self.running))))

    def end(self, name):
        self.engine.side.finish(self.running.pop(name), owns_blocks=True)
        self.give_back(name)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), ends=st.booleans())
    def preempt(self, data, ends):
        name = data.draw(st.sampled_from(sorted(self.running)))
        request = self.running.pop(name)
        self.give_back(name)
        if ends:
            self.engine.side.finish(request, owns_blocks=False)
        else:
            self.waiting[name] = request

    @precondition(lambda self: any(not hasattr(r, "aborted") for r in self.loading.values()))
    @rule(data=st.data())
    def abort_while_loading(self, data):
        alive = sorted(n for n, r in self.loading.items() if not hasattr(r, "aborted"))
        request = self.loading[data.draw(st.sampled_from(alive))]
        request.aborted = True
        self.engine.side.finish(request, owns_blocks=True)

    @rule(weights=st.sampled_from([WEIGHTS, "others"]))
    def reset(self, weights):
        self.engine.weights = weights
        self.engine.side.reset()

    @rule()
    def save_the_rest(self):
        """As where the engine is called in the caller's process, which then puts it to sleep."""
        self.worker(StepPlan(Plan(saves=tuple(self.engine.side.rest()))))

    @invariant()
    def no_slot_is_filled_by_two(self):
        fillers = {}
        for kind, job in self.jobs:
            if kind == "copied" or (kind == "loaded" and job.fetch):
                assert fillers.setdefault(job.slot, job.job) == job.job

    def teardown(self):
        for _ in range(100):
            self.worker(plan := self.engine.step())
            while self.jobs:
                kind, job = self.jobs.pop()
                self.read(job.job if kind == "copied" else None)
                self.take(Report(**{kind: {job.job: 1}}))
            if plan.wants_report:
                self.take(Report())
            if not (self.loading or self.engine.side.is_saving):
                break
        assert not self.loading
        assert not self.engine.side.is_saving
        assert self.engine.planner.room == self.engine.planner.index.slots


class AnyOrderOfTenants(AnyOrder):
    """The same with requests of several tenants, some of which have quotas."""

    def tenants(self):
        self.limits = SlotLimits(6, 1, HostLimits(4, {"a": 2}))
        self.fair = FairPolicy(self.limits, "learned", FakeClock())
        return self.fair

    @invariant()
    def quotas_hold(self):
        for tenant in TENANTS:
            assert self.fair.held(tenant) <= self.limits.of_tenant(tenant)


@pytest.mark.parametrize("machine", [AnyOrder, AnyOrderOfTenants])
@pytest.mark.parametrize("chunks_a_step", [16, 1])
def test_in_any_order(monkeypatch, chunks_a_step, machine):
    for name in (
        "saving.saves._A_STEP",
        "loading.loads._A_STEP",
        "loading.loads._AT_ONCE",
        "loading.prefetch._AT_ONCE",
    ):
        monkeypatch.setattr(f"kvtransfer.requests.{name}", chunks_a_step)
    case = machine.TestCase
    case.settings = settings(
        max_examples=100,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    case().runTest()
