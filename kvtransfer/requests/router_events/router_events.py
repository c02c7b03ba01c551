"""Tells routers which of the engine's blocks host memory and the stores hold."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import tenant_of
from kvtransfer.plan import Save
from kvtransfer.requests.router_events.dialects import places
from kvtransfer.requests.router_events.host_chunks import HostChunks
from kvtransfer.requests.router_events.stored_chunks import StoredChunks
from kvtransfer.requests.timing import HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kvtransfer.config import TransferConfig
    from kvtransfer.plan import Load, Put, Report
    from kvtransfer.requests.loading.match import Matching
    from kvtransfer.requests.request_state import RequestState
    from kvtransfer.requests.router_events.event import (
        BlockNames,
        ChunkBlocks,
        Place,
        RouterEvent,
    )
    from kvtransfer.scheduling.changes import Change
    from kvtransfer.scheduling.planner import Settled


class NoRouterEvents:
    """Tells routers nothing."""

    def expect(self, jobs: Iterable[tuple[Load | Save, RequestState]], puts: Sequence[Put]) -> None:
        """Nothing is remembered."""

    def settle(self, report: Report, settled: Settled, changed: Sequence[Change]) -> None:
        """Nothing is remembered."""

    def compare(self, state: RequestState, matching: Matching) -> None:
        """Nothing was told."""

    def withdraw(self) -> None:
        """Nothing was told."""

    def repeat(self) -> None:
        """Nothing was told."""

    def take(self, changed: Sequence[Change]) -> list[RouterEvent]:
        """Always nothing."""
        return []


class RouterEvents:
    """For the scheduler's thread.

    Chunks of tenants are never told of: a router may credit them to requests without the salt. Nor
    is what a request has put into a store for a time of its own.

    Args:
        names: the engine's.
        told: the place of each tier that routers are told of.
        ttl_s: how long an entry in a store lives, in seconds; None: until it is evicted.
        clock: seconds that never go back.
    """

    @classmethod
    def open(cls, config: TransferConfig, names: BlockNames) -> RouterEvents:
        """Router events as ``config`` says, where ``kv_events`` is not ``off``."""
        return cls(names, places(config.kv_events, config.kv_events_pool), config.ttl_s)

    def __init__(
        self,
        names: BlockNames,
        told: Mapping[str, Place],
        ttl_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._names = names
        self._clock = clock
        self._host = HostChunks(told[HOST])
        stores = {tier: place for tier, place in told.items() if tier != HOST}
        self._stored = StoredChunks(stores, ttl_s, clock)
        self._events: list[RouterEvent] = []

    def expect(self, jobs: Iterable[tuple[Load | Save, RequestState]], puts: Sequence[Put]) -> None:
        """A step was planned: its loads and saves, each with its request, and its puts."""
        for put in puts:
            blocks = self._host.blocks(put.key)
            if blocks is not None and put.ttl_s is None:
                self._stored.expect(put.job, put.key, blocks)
        for job, state in jobs:
            if self._host.blocks(job.key) is None:
                blocks = self._blocks_of(state, job.key)
                if blocks is not None:
                    self._expect(job, blocks)

    def settle(self, report: Report, settled: Settled, changed: Sequence[Change]) -> None:
        """Take in the workers' report, what it has settled, and how the index has changed."""
        ended = (*settled.loaded, *settled.copied)
        self._events += self._host.end(ended, settled.failed, changed)
        self._events += self._stored.lack(report.absent)
        self._events += self._stored.end(settled.stored, report.unput)

    def compare(self, state: RequestState, matching: Matching) -> None:
        """Withdraw what the store, which was asked about the request's chunks, doesn't hold."""
        asked, waited_s = matching.answered(state)
        if asked:
            located = matching.known(state.request_id).by_key
            self._events += self._stored.deny(asked, located, self._clock() - waited_s)

    def withdraw(self) -> None:
        """The weights have changed: blocks of the same names have other contents now."""
        self._events += self._host.withdraw()
        self._events += self._stored.withdraw()

    def repeat(self) -> None:
        """Routers have dropped all blocks of the engine's own: tell of those in host memory again."""
        self._events += self._host.repeat()
        self._stored.forget_own()

    def take(self, changed: Sequence[Change]) -> list[RouterEvent]:
        """The events since the last call, oldest first; the index has ``changed``."""
        self._events += self._host.follow(changed)
        self._events += self._stored.expire()
        taken, self._events = self._events, []
        return taken

    def _expect(self, job: Load | Save, blocks: ChunkBlocks) -> None:
        self._host.expect(job.job, job.key, blocks)
        if isinstance(job, Save) and job.put and job.ttl_s is None:
            self._stored.expect(job.job, job.key, blocks)

    def _blocks_of(self, state: RequestState, key: str) -> ChunkBlocks | None:
        if tenant_of(key) or not state.is_hashed():
            return None
        try:
            chunk = state.keys.index(key)
        except ValueError:  # a passage of another prompt, or a request that lost its keys
            return None
        return self._names.blocks_of(state, chunk)
