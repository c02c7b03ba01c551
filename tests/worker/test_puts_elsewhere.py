"""A rank whose shard another one puts ends its puts as soon as the slot is filled."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import closing

import torch

from kvtransfer.chunks.keys import EntryKeys
from kvtransfer.chunks.paged import PagedCaches
from kvtransfer.config import TransferConfig
from kvtransfer.device.cpu import CpuEvent
from kvtransfer.metrics import Metrics
from kvtransfer.plan import Load, Plan, Put, Report, Save
from kvtransfer.stores.shelf import Shelf
from kvtransfer.worker.executor import Executor
from kvtransfer.worker.outcomes import Outcomes
from kvtransfer.worker.puts_elsewhere import PutsElsewhere

KEY = "a" * 32
FOREVER_S = 30.0


def test_a_put_ends_with_the_copy_that_fills_its_slot():
    outcomes, copying = Outcomes(Metrics(), block_bytes=[1]), Future()
    puts = PutsElsewhere(outcomes)
    puts.offer(Save(1, KEY, 0, (1,)), CpuEvent(copying))
    assert not outcomes.take()
    copying.set_result(None)
    assert outcomes.take() == Report(stored={1: 1})


def test_a_put_of_a_filled_slot_ends_at_once():
    outcomes = Outcomes(Metrics(), block_bytes=[1])
    puts = PutsElsewhere(outcomes)
    puts.offer(Put(1, KEY, 0), None)
    puts.add(Save(2, KEY, 1, (1,)), None)
    puts.close()
    assert outcomes.take() == Report(stored={1: 1, 2: 1})


def test_one_rank_puts_and_the_other_reads_what_it_put():
    config = TransferConfig.load(
        {"max_local_cpu_size": 0.001, "remote_url": "memory://", "chunk_size": 8}
    )
    shelf, layer = Shelf(), torch.randn(6, 2, 4, 6)
    caches = [PagedCaches.split([each], 8) for each in (layer, layer.clone())]
    names = EntryKeys("m", 1)
    with (
        closing(
            Executor.open(config, [[caches[0]]], caches[0].chunk, names, [0], shelf)
        ) as putting,
        closing(
            Executor.open(config, [[caches[1]]], caches[1].chunk, names, [0], shelf, puts=False)
        ) as other,
    ):
        for executor in (other, putting):
            executor.run(Plan(saves=(Save(1, KEY, 0, (1, 2)),)))
            ended = Report()
            while not ended.stored:
                executor.wait(FOREVER_S)
                ended.add(executor.report())
            assert ended == Report(copied={1: 1}, stored={1: 1})
        assert "put_bytes" not in other.metrics.take()
        assert putting.metrics.take()["put_bytes"] == caches[0].chunk.nbytes
        other.run(Plan(loads=(Load(2, KEY, 1, fetch=True, block_ids=(3, 4)),)))
        loaded = Report()
        while not loaded.loaded:
            other.wait(FOREVER_S)
            loaded.add(other.report())
        assert not loaded.failed
    read = PagedCaches.split([layer], 8).planes, caches[1].planes
    assert all(torch.equal(mine[[1, 2]], its[[3, 4]]) for mine, its in zip(*read, strict=True))
