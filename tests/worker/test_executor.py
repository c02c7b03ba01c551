from __future__ import annotations

import itertools
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from threading import Barrier, Condition, Event

import pytest
import torch

from kvtransfer.chunks.keys import EntryKeys
from kvtransfer.chunks.paged import PagedCaches
from kvtransfer.device.cpu import CpuDevice, CpuEvent
from kvtransfer.metrics import Metrics
from kvtransfer.plan import Load, Plan, Put, Report, Save
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.guarded import GuardedStore
from kvtransfer.testing import FlakyStore
from kvtransfer.worker import outcomes as outcomes_module
from kvtransfer.worker.copier import Copier
from kvtransfer.worker.executor import Executor
from kvtransfer.worker.host_pool import HostPool
from kvtransfer.worker.outcomes import Outcomes
from kvtransfer.worker.tiers import Limits, Tiers
from kvtransfer.worker.wakeable import WakeableCopier

BLOCKS, BLOCK_TOKENS, CHUNK_TOKENS = 12, 4, 8
A, B, C = "a" * 32, "b" * 32, "c" * 32
FOREVER_S = 30.0


class Bench:
    """An executor on two layers of paged memory, with every job's report kept."""

    def __init__(self, failures=(), slots=4, **limits):
        self.layers = [torch.randn(BLOCKS, 2, BLOCK_TOKENS, 6) for _ in range(2)]
        self.caches = PagedCaches.split(self.layers, CHUNK_TOKENS)
        self.device = CpuDevice()
        self.pool = HostPool(self.device, self.caches.chunk, slots)
        self.inner = open_store("memory://", self.caches.chunk, StoreSettings())
        self.gate = Gate(FlakyStore(self.inner, failures))
        store = GuardedStore(self.gate, "memory://")
        opening = partial(Copier.open, [[self.caches]], self.caches.chunk, self.pool, self.device)
        copier = WakeableCopier(opening)
        names = EntryKeys("m", 1)
        held = partial(names.held, [0])
        tiers = Tiers(
            copier, self.pool, self.device, store, held, [self.caches.manager_block_bytes]
        )
        settings = {"fetches": 2, "waiting_puts": 8, "start_within_s": FOREVER_S, **limits}
        metrics = Metrics()
        outcomes = Outcomes(metrics, tiers.block_bytes)
        self.executor = Executor(tiers, Limits(**settings), metrics, outcomes)
        self.reports = Report()
        self.jobs = itertools.count()

    def save(self, key, slot, *block_ids):
        job = next(self.jobs)
        self.executor.run(Plan(saves=(Save(job, key, slot, block_ids),)))
        return job

    def load(self, key, slot, *block_ids, fetch=False, first_token=0):
        job = next(self.jobs)
        load = Load(job, key, slot, fetch, block_ids, first_token)
        self.executor.run(Plan(loads=(load,)))
        return job

    def until(self, kind, *jobs):
        while not set(jobs) <= getattr(self.reports, kind).keys():
            self.executor.wait(FOREVER_S)
            self.reports.add(self.executor.report())

    def blocks(self, *block_ids):
        return [layer[list(block_ids)].clone() for layer in self.layers]


class Gate:
    """A store that lets calls through while ``open`` is set."""

    parallelism = 1

    def __init__(self, store):
        self._store = store
        self.open, self.busy = Event(), Event()
        self.open.set()
        self.calls = []

    def __getattr__(self, name):
        def call(*arguments):
            self.busy.set()
            self.calls.append((name, arguments))
            assert self.open.wait(FOREVER_S)
            return getattr(self._store, name)(*arguments)

        return call


@contextmanager
def bench(*arguments, **options):
    running = Bench(*arguments, **options)
    try:
        yield running
    finally:
        running.gate.open.set()
        running.executor.close()


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_chunk_goes_out_and_comes_back_by_its_slot_and_by_the_store():
    with bench() as it:
        expected = it.blocks(3, 1)
        saved = it.save(A, 0, 3, 1)
        by_slot = it.load(A, 0, 5, 7)  # planned at once, it waits for the copy out
        it.until("stored", saved)
        by_store = it.load(A, 2, 8, 9, fetch=True)
        it.until("loaded", by_slot, by_store)
        assert same(it.blocks(5, 7), expected)
        assert same(it.blocks(8, 9), expected)
        assert it.reports == Report({by_slot: 1, by_store: 1}, {saved: 1}, {saved: 1}, set())
        counted = it.executor.metrics.take()
        assert counted["fetched_bytes"] == counted["put_bytes"] == it.caches.chunk.nbytes


def test_a_part_of_a_chunk_fills_its_blocks_only():
    with bench() as it:
        expected = it.blocks(1)
        it.until("copied", it.save(A, 0, 3, 1))
        before = it.blocks(*range(11))
        it.until("loaded", it.load(A, 0, 11, first_token=BLOCK_TOKENS))
        assert same(it.blocks(11), expected)
        assert same(it.blocks(*range(11)), before)


def test_a_prefetch_fills_the_slot_and_no_block():
    with bench() as it:
        it.until("stored", it.save(A, 0, 3, 1))
        expected = it.blocks(3, 1)
        before = it.blocks(*range(BLOCKS))
        it.until("loaded", it.load(A, 1, fetch=True))
        assert same(it.blocks(*range(BLOCKS)), before)
        it.until("loaded", it.load(A, 1, 6, 7))
        assert same(it.blocks(6, 7), expected)


def test_a_missing_chunk_fails_its_job_and_all_that_wait_for_it():
    with bench() as it:
        it.gate.open.clear()
        first = it.load(A, 0, 1, 2, fetch=True)
        sharer = it.load(A, 0, 3, 4)
        before = it.blocks(1, 2, 3, 4)
        it.gate.open.set()
        it.until("loaded", first, sharer)
        later = it.load(A, 0, 5, 6)
        it.until("loaded", later)
        assert it.reports.failed == {first, sharer, later}
        assert same(it.blocks(1, 2, 3, 4), before)
        assert it.executor.metrics.take()["load_failed_chunks"] == 3


def test_a_slot_that_failed_is_good_for_the_next_chunk():
    with bench() as it:
        it.until("loaded", it.load(A, 0, 1, 2, fetch=True))
        expected = it.blocks(8, 9)
        it.until("stored", it.save(B, 0, 8, 9))
        good = it.load(B, 0, 1, 2)
        it.until("loaded", good)
        assert good not in it.reports.failed
        assert same(it.blocks(1, 2), expected)


def test_a_failing_store_fails_fetches_and_ends_puts():
    with bench(itertools.repeat(True)) as it:
        saved, load = it.save(A, 0, 3, 1), it.load(B, 1, 5, 6, fetch=True)
        it.until("stored", saved)
        it.until("loaded", load)
        assert it.reports.failed == {load}
        assert it.reports.unput == {saved}
        assert it.executor.metrics.take()["put_failed_chunks"] == 1


def test_a_fetch_that_would_begin_too_late_is_given_up():
    with bench(start_within_s=0.0, fetches=1) as it:
        it.until("stored", it.save(A, 0, 3, 1))
        late = it.load(A, 1, 5, 6, fetch=True)
        it.until("loaded", late)
        assert it.reports.failed == {late}


def test_too_many_waiting_puts_lose_the_oldest_and_say_so():
    with bench(waiting_puts=1) as it:
        it.gate.open.clear()
        first = it.save(A, 0, 0, 1)
        assert it.gate.busy.wait(FOREVER_S)
        dropped, kept = it.save(B, 1, 2, 3), it.save(C, 2, 4, 5)
        it.until("stored", dropped)
        counted = it.executor.metrics.take()
        assert (counted["put_dropped_chunks"], counted["waiting_puts"]) == (1, 1)
        it.gate.open.set()
        it.until("stored", first, kept)
        it.until("copied", first, dropped, kept)
        names = [EntryKeys("m", 1).shard(0, key) for key in (A, B, C)]
        assert it.inner.contains(names) == [True, False, True]
        assert it.reports.unput == {dropped}
        assert it.executor.metrics.take()["waiting_puts"] == 0


def test_the_store_is_told_of_the_puts_that_wait_before_the_first_of_them():
    with bench() as it:
        it.gate.open.clear()
        saves = [it.save(A, 0, 0, 1)]
        assert it.gate.busy.wait(FOREVER_S)
        saves += [it.save(B, 1, 2, 3), it.save(C, 2, 4, 5)]
        it.until("copied", *saves)
        it.gate.open.set()
        it.until("stored", *saves)
        a, b, c = (EntryKeys("m", 1).shard(0, key) for key in (A, B, C))
        calls = [(name, arguments[0]) for name, arguments in it.gate.calls]
        assert calls == [("put", a), ("expect_puts", [b, c]), ("put", b), ("put", c)]


def test_the_last_saves_are_copied_when_it_returns_and_all_of_them_put():
    with bench(waiting_puts=1) as it:
        it.gate.open.clear()
        expected = it.blocks(*range(6))
        saves = [
            Save(next(it.jobs), key, slot, (2 * slot, 2 * slot + 1))
            for slot, key in enumerate((A, B, C))
        ]
        it.executor.save_all(saves)
        for layer in it.layers:
            layer.zero_()
        it.gate.open.set()
        it.until("stored", *(save.job for save in saves))
        assert not it.reports.failed
        for slot, save in enumerate(saves):
            it.until("loaded", it.load(save.key, slot, *save.block_ids))
        assert same(it.blocks(*range(6)), expected)
        names = [EntryKeys("m", 1).shard(0, key) for key in (A, B, C)]
        assert it.inner.contains(names) == [True] * 3


def test_while_the_caches_are_away_copies_fail_and_fetches_go_on():
    with bench() as it:
        it.until("stored", it.save(A, 0, 3, 1))
        it.executor.suspend()
        lost, load, prefetch = it.save(B, 1, 4, 5), it.load(A, 0, 6, 7), it.load(A, 2, fetch=True)
        it.until("loaded", load, prefetch)
        it.until("stored", lost)
        it.until("copied", lost)
        assert it.reports.failed == {lost, load}
        it.executor.resume()
        expected = it.blocks(3, 1)
        again = it.load(A, 2, 6, 7)
        it.until("loaded", again)
        assert again not in it.reports.failed
        assert same(it.blocks(6, 7), expected)


def test_blocks_may_be_written_once_copies_are_finished():
    with bench() as it:
        expected = it.blocks(3, 1)
        saved = it.save(A, 0, 3, 1)
        it.executor.finish_copies()
        for layer in it.layers:
            layer.zero_()
        it.until("copied", saved)
        it.until("loaded", it.load(A, 0, 3, 1))
        assert same(it.blocks(3, 1), expected)


def test_a_copy_that_can_not_be_made_fails_its_job(caplog):
    with bench() as it:
        bad_save, bad_load = it.save(A, 0, 99, 1), it.load(A, 0, 5, 6)
        it.until("copied", bad_save)
        it.until("loaded", bad_load)
        assert it.reports.failed == {bad_save, bad_load}
        it.until("stored", bad_save)
        assert it.reports.unput == {bad_save}
        assert it.inner.contains([EntryKeys("m", 1).shard(0, A)]) == [False]
        assert "not in [0, 12)" in caplog.text


def test_a_tenants_chunk_is_put_now_or_later_and_fetched_as_such():
    key, base = f"{A}.tenant", EntryKeys("m", 1).shard(0, A)
    with bench() as it:
        it.until("stored", it.save(key, 0, 3, 1))
        later = Put(next(it.jobs), key, 0)  # as it leaves host memory
        it.executor.run(Plan(puts=(later,)))
        it.until("stored", later.job)
        it.until("loaded", it.load(key, 2, 8, 9, fetch=True))
        told = [(name, named, tenant) for name, (named, _, tenant, *_) in it.gate.calls]
    assert told == [(name, base, "tenant") for name in ("put", "put", "get_into")]


def test_closing_hands_waiting_chunks_to_the_store():
    it = Bench()
    for slot, key in enumerate((A, B, C)):
        it.save(key, slot, 2 * slot, 2 * slot + 1)
    it.executor.close()
    assert it.inner.contains([EntryKeys("m", 1).shard(0, key) for key in (A, B, C)]) == [True] * 3


def test_a_fetch_that_its_plan_has_no_more_patience_for_is_given_up():
    with bench() as it:
        job = next(it.jobs)
        it.executor.run(Plan(loads=(Load(job, A, 0, True, (1, 2), start_within_s=-1.0),)))
        it.until("loaded", job)
        assert it.reports.failed == {job}


def test_fetches_go_by_priority():
    it = Bench(fetches=1)
    it.gate.open.clear()
    it.load(A, 0, 1, 2, fetch=True)
    assert it.gate.busy.wait(FOREVER_S)
    late, soon = (
        Load(next(it.jobs), key, slot, True, (), priority=priority)
        for key, slot, priority in ((B, 1, 9), (C, 2, 3))
    )
    it.executor.run(Plan(loads=(late, soon)))
    assert it.executor.metrics.take()["waiting_fetches"] == 2
    it.gate.open.set()
    it.until("loaded", soon.job, late.job)
    assert list(it.reports.loaded)[-2:] == [soon.job, late.job]
    it.executor.close()


def test_a_store_that_turns_out_to_be_far_away_is_asked_for_more_at_once():
    with bench(fetches=1) as it:
        it.gate.parallelism = 16
        it.until("loaded", it.load(A, 0, fetch=True))
        both = Barrier(2, timeout=FOREVER_S)
        it.gate.get_into = lambda *_: both.wait() >= 0
        loads = [it.load(key, slot, fetch=True) for slot, key in enumerate((B, C))]
        it.until("loaded", *loads)
        assert not it.reports.failed & set(loads)


def test_closing_while_fetching_fails_what_has_not_begun():
    it = Bench(fetches=1)
    it.gate.open.clear()
    first = it.load(A, 0, 1, 2, fetch=True)
    assert it.gate.busy.wait(FOREVER_S)
    second = it.load(B, 1, 3, 4, fetch=True)
    it.executor._fetches.cancel()
    it.gate.open.set()
    it.executor.close()
    it.reports.add(it.executor.report())
    assert it.reports.failed == {first, second}


class CountedCondition(Condition):
    """A condition that counts how often its waiter wakes up."""

    wakes = 0

    def __init__(self):
        super().__init__()
        self.before_sleep = lambda: None

    def wait(self, timeout=None):
        self.before_sleep()
        try:
            return super().wait(timeout)
        finally:
            self.wakes += 1


@pytest.fixture
def condition(monkeypatch):
    counted = CountedCondition()
    monkeypatch.setattr(outcomes_module, "Condition", lambda: counted)
    return counted


def test_an_idle_wait_wakes_up_once_at_its_end(condition):
    with bench() as it:
        it.executor.wait(0.0)
        condition.wakes = 0
        it.executor.wait(0.05)
        assert condition.wakes == 1
        assert not it.executor.report()


def end(copied, error):
    if error is None:
        copied.set_result(None)
    else:
        copied.set_exception(error)


@pytest.mark.parametrize("error", [None, RuntimeError("the model failed")])
def test_the_end_of_a_copy_wakes_whoever_waits_once(condition, error):
    with bench() as it:
        computed = Future()
        it.device.compute_event = lambda: CpuEvent(computed)
        save, load = it.save(A, 0, 3, 1), it.load(A, 0, 5, 7)
        condition.before_sleep = lambda: computed.done() or end(computed, error)
        it.until("copied", save)
        it.until("loaded", load)
        assert 1 <= condition.wakes <= 3  # the copies, and the put
        assert it.reports.failed == (set() if error is None else {save, load})


def test_the_end_of_a_fetch_and_of_a_put_wake_whoever_waits(condition):
    with bench() as it:
        condition.before_sleep = it.gate.open.set
        for begin, kind in (
            (lambda: it.load(B, 1, fetch=True), "loaded"),  # a miss
            (lambda: it.save(A, 0, 3, 1), "stored"),
            (lambda: it.load(A, 2, fetch=True), "loaded"),
        ):
            it.gate.open.clear()
            condition.wakes = 0
            it.until(kind, begin())
            assert condition.wakes <= 2
