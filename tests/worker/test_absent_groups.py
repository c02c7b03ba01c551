"""Jobs of groups without layers here are done at once, and the others as they are planned."""

from __future__ import annotations

from contextlib import closing

import torch

from kvtransfer.chunks.keys import EntryKeys, piece_key
from kvtransfer.chunks.layout import ChunkFormat, GroupFormats
from kvtransfer.chunks.paged import PagedCaches
from kvtransfer.config import TransferConfig
from kvtransfer.metrics import Metrics
from kvtransfer.plan import Load, Plan, Put, Report, Save
from kvtransfer.stores.shelf import Shelf
from kvtransfer.worker.absent_groups import AbsentGroups
from kvtransfer.worker.executor import Executor
from kvtransfer.worker.outcomes import Outcomes

HERE, ELSEWHERE = "a" * 32, piece_key("a" * 32, 1)
FOREVER_S = 30.0


def test_jobs_of_absent_groups_are_reported_and_the_rest_is_left():
    outcomes = Outcomes(Metrics(), block_bytes=[8, 0])
    absent = AbsentGroups.of([8, 0], outcomes)
    here = Plan((Load(1, HERE, 0, False, (1,)),), (Save(2, HERE, 1, (2,)),), (Put(3, HERE, 2),))
    plan = Plan(
        (*here.loads, Load(4, ELSEWHERE, 3, True, (1,))),
        (*here.saves, Save(5, ELSEWHERE, 4, (2,)), Save(6, ELSEWHERE, 5, (2,), put=False)),
        (Put(7, ELSEWHERE, 6), *here.puts),
    )
    assert absent.without(plan) == here
    ended = Report(loaded={4: 1}, copied={5: 1, 6: 1}, stored={5: 1, 7: 1})
    assert outcomes.take() == ended


def test_where_every_group_has_layers_a_plan_is_left_as_it_is():
    outcomes = Outcomes(Metrics(), block_bytes=[8, 8])
    plan = Plan(saves=(Save(1, ELSEWHERE, 0, (2,)),))
    assert AbsentGroups.of([8, 8], outcomes).without(plan) is plan
    assert not outcomes.take()


def test_an_executor_without_layers_of_the_first_group_serves_the_second():
    caches = PagedCaches.split([torch.randn(6, 2, 4, 6)], 8)
    empty = ChunkFormat.content("uint8", 0, 8, 1, 1)
    formats = GroupFormats((empty, caches.chunk), main=0, chunk_tokens=8)
    config = TransferConfig.load(
        {"max_local_cpu_size": 0.001, "remote_url": "memory://", "chunk_size": 8}
    )
    shelf = Shelf()
    opened = Executor.open(config, [[], [caches]], formats, EntryKeys("m", 1), [0], shelf)
    first, second = HERE, piece_key(HERE, 1)
    with closing(opened) as executor:
        saves = (Save(1, first, 0, (1, 2)), Save(2, second, 1, (1, 2)))
        executor.run(Plan(saves=saves))
        ended = Report()
        while len(ended.stored) < 2:
            executor.wait(FOREVER_S)
            ended.add(executor.report())
        assert ended == Report(copied={1: 1, 2: 1}, stored={1: 1, 2: 1})
        amounts = executor.metrics.take()
        assert (amounts["put_bytes"], "put_failed_chunks" in amounts) == (
            caches.chunk.nbytes,
            False,
        )
