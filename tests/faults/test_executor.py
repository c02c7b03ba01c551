from __future__ import annotations

import itertools
import time
from contextlib import contextmanager

import pytest
import torch

from kvtransfer.chunks.keys import EntryKeys
from kvtransfer.chunks.paged import PagedCaches
from kvtransfer.config import TransferConfig
from kvtransfer.plan import Load, Plan, Report, Save
from kvtransfer.stores.redis.one_server import OneServer
from kvtransfer.worker.executor import Executor
from tests.faults.arena import DEADLINE_S, PATIENCE_S, SLACK_S
from tests.faults.known import LINE, SERVER
from tests.faults.proxy import REPLY
from tests.faults.scenario import in_the_middle
from tests.own_clock import OwnClock
from tests.stores.redis.servers import until

LAYERS, BLOCKS, HEADS, BLOCK_TOKENS, CHUNK_TOKENS, DIM = 8, 10, 4, 32, 64, 64
OUT, BACK, AGAIN = (0, 1), (4, 5), (6, 7)
FOREVER_S = 240.0


class Engine:
    """Paged memory and the executor that obeys for it, at the arena's server."""

    def __init__(self, arena):
        self.layers = [torch.randn(BLOCKS, HEADS, BLOCK_TOKENS, 2 * DIM) for _ in range(LAYERS)]
        config = TransferConfig.of(
            remote_url=arena.url,
            remote_timeout_ms=int(1000 * DEADLINE_S),
            max_local_cpu_size=0.05,
        )
        caches = PagedCaches.split(self.layers, CHUNK_TOKENS)
        self.nbytes = caches.chunk.nbytes
        self.executor = Executor.open(config, [[caches]], caches.chunk, EntryKeys("model", 1), [0])
        self._jobs = itertools.count()
        self._seen = Report()

    def save(self, key, blocks):
        job = next(self._jobs)
        self.executor.run(Plan(saves=(Save(job, key, 0, blocks),)))
        self._until("stored", job)

    def load(self, key, blocks):
        """Whether it went well."""
        job = next(self._jobs)
        self.executor.run(Plan(loads=(Load(job, key, 1, True, blocks, 0),)))
        self._until("loaded", job)
        return job not in self._seen.failed

    def blocks(self, blocks):
        return torch.stack([layer[list(blocks)] for layer in self.layers])

    def _until(self, kind, job):
        deadline_s = time.monotonic() + FOREVER_S
        while job not in getattr(self._seen, kind) and time.monotonic() < deadline_s:
            self.executor.wait(FOREVER_S)
            self._seen.add(self.executor.report())
        assert job in getattr(self._seen, kind)


@contextmanager
def engine(arena):
    running = Engine(arena)
    try:
        yield running
    finally:
        running.executor.close()


@pytest.mark.parametrize("fault", [*SERVER, *LINE[:5]], ids=lambda fault: fault.name)
def test_a_load_ends_well_or_as_failed_and_in_time(arena, fault, monkeypatch):
    def deadline_s(store):
        return time.monotonic() + arena.allowed_s

    def load_in_time():
        clock = OwnClock()
        went_well = it.load(key, BACK)
        assert clock.passed_s < arena.allowed_s + SLACK_S
        return went_well

    def recover():
        arena.proxy.untrip()
        with arena.allowing(PATIENCE_S):
            until(restores, PATIENCE_S)  # several failures in a row open the circuit breaker

    def restores():
        it.save(other := f"{arena.fresh():032x}", BACK)
        return it.load(other, AGAIN)

    monkeypatch.setattr(OneServer, "begin", deadline_s)
    key = f"{arena.fresh():032x}"
    with engine(arena) as it:
        expected = it.blocks(OUT)
        with arena.allowing(PATIENCE_S):
            it.save(key, OUT)
        try:
            went_well = in_the_middle(
                arena, REPLY, it.nbytes // 2, lambda: fault.inject(arena), load_in_time, recover
            )
        finally:
            arena.proxy.untrip()
            fault.heal(arena)
        assert not went_well or torch.equal(it.blocks(BACK), expected)
        expected = it.blocks(BACK)
        recover()
        assert torch.equal(it.blocks(AGAIN), expected)
