"""The object a caller holds: the deciding and the obeying side in one process."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

from kvtransfer.arguments import checked_blocks, checked_skip, checked_tokens
from kvtransfer.chunks.keys import EntryKeys, chunk_keys, namespace
from kvtransfer.chunks.tiling import Placement, Tiling
from kvtransfer.errors import ConfigError
from kvtransfer.plan import Plan
from kvtransfer.scheduling.lookup import Lookup
from kvtransfer.scheduling.planner import Planner
from kvtransfer.stores.shelf import Shelf
from kvtransfer.worker.executor import Executor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from kvtransfer.chunks.paged import PagedCaches
    from kvtransfer.config import TransferConfig
    from kvtransfer.plan import Load, Save

_POLL_S = 0.05
# When closing, for what is to be written back.
_DRAIN_S = 10.0
_PUTS_AT_ONCE = 4


class KVTransfer:
    """Chunks between a caller's paged caches and host memory, and the store behind it.

    For one thread. The caller's tensors are borrowed until ``close``; blocks given to ``load`` or
    ``save`` belong to the transfer that is returned until it is done.

    Arguments are checked before anything begins: ``ValueError`` names the one that can't be. After
    ``close`` every call but ``close`` raises ``RuntimeError``; transfers may still be asked.
    """

    @classmethod
    def open(
        cls,
        config: TransferConfig,
        caches: PagedCaches,
        *,
        model_name: str,
        facts: Mapping[str, object],
    ) -> KVTransfer:
        """Take host memory as ``config`` says; the store is connected to when first used.

        Args:
            config: sizes, store, timeouts.
            caches: the paged tensors.
            model_name: the first part of each key in the store.
            facts: plain JSON of everything that shapes the cached bytes and isn't visible in
                ``caches``: the weights, quantisation, rope settings, adapters.

        Raises:
            ConfigError: the settings don't fit the caches, or name a store we don't know.
        """
        chunk = caches.chunk
        if chunk.tokens != config.chunk_size:
            raise ConfigError(
                f"chunk_size={config.chunk_size} but the caches were cut for chunks of "
                f"{chunk.tokens} tokens; make them equal"
            )
        names = EntryKeys(config.model_name or model_name, world_size=1)
        shapes = {"layout": chunk.layout, "dtype": chunk.dtype, "shape": list(chunk.shape)}
        space = namespace({**facts, **shapes, "operator": config.namespace})
        shelf = Shelf()
        return cls(
            Planner.open(config, chunk, ranks=1),
            Lookup.open(config, chunk, names, shelf),
            Executor.open(config, caches, names, 0, shelf),
            Tiling(chunk.tokens, caches.block_tokens),
            space,
            caches.blocks,
        )

    def __init__(
        self,
        planner: Planner,
        lookup: Lookup | None,
        executor: Executor,
        tiling: Tiling,
        space: bytes,
        blocks: int,
    ) -> None:
        self._planner = planner
        self._lookup = lookup
        self._executor = executor
        self._tiling = tiling
        self._space = space
        self._blocks = blocks
        self._is_closed = False
        self._open: dict[int, Transfer] = {}
        """By job, until it has ended."""

    def lookup(self, token_ids: Sequence[int]) -> int:
        """How many tokens from the first on could be loaded; waits for the store's answer."""
        return self._loadable(self._keys(token_ids)) * self._tiling.chunk_tokens

    def prefetch(self, token_ids: Sequence[int]) -> Transfer:
        """Bring the chunks of ``token_ids`` from the store to host memory."""
        keys = self._keys(token_ids)
        placements = [Placement(key) for key in keys[: self._loadable(keys)]]
        return self._start_loads(placements)

    def load(
        self, token_ids: Sequence[int], block_ids: Sequence[int], skip_tokens: int = 0
    ) -> Transfer:
        """Fill blocks with the cached chunks of ``token_ids``, as far as they go.

        Args:
            token_ids: the whole prefix, from the first token of the sequence on.
            block_ids: the blocks of those tokens, in order, from the first token on.
            skip_tokens: so many tokens, whole blocks, are in their blocks already.

        Raises:
            ValueError: a block is missing, is none of the caches' or is named twice.
        """
        keys = self._keys(token_ids)
        ids = self._block_ids(block_ids, len(keys))
        skip_tokens = checked_skip(skip_tokens, len(token_ids), self._tiling.block_tokens)
        self._planner.index.note_request(keys)
        hits = self._loadable(keys)
        placements = self._tiling.placements(keys[:hits], ids, skip_tokens)
        return self._start_loads(placements)

    def save(self, token_ids: Sequence[int], block_ids: Sequence[int]) -> Transfer:
        """Cache the whole chunks of ``token_ids`` that aren't held yet.

        Done means that the blocks may be written again; the store gets the chunks later, at the
        latest in ``close``.

        Raises:
            ValueError: a block is missing, is none of the caches' or is named twice.
        """
        keys = self._keys(token_ids)
        ids = self._block_ids(block_ids, len(keys))
        self._planner.touch(keys)
        jobs = [
            self._planner.save(
                key, self._tiling.blocks(chunk, ids), keys[chunk - 1] if chunk else None
            )
            for chunk, key in enumerate(keys)
        ]
        saves = tuple(job for job in jobs if job is not None)
        self._run(saves=saves)
        return self._transfer({save.job: self._tiling.chunk_tokens for save in saves})

    def close(self) -> None:
        """Finish what is under way, give what time allows to the store, free host memory.

        Again is harmless.
        """
        if self._is_closed:
            return
        self._is_closed = True
        self._flush(time.monotonic() + _DRAIN_S)
        self._executor.close()
        if self._lookup is not None:
            self._lookup.close()

    def __enter__(self) -> KVTransfer:
        self._check_open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise RuntimeError("this KVTransfer is closed; open another one")

    def _block_ids(self, block_ids: Sequence[int], chunks: int) -> list[int]:
        needed = chunks * self._tiling.chunk_tokens // self._tiling.block_tokens
        return checked_blocks(block_ids, needed, self._blocks)

    def _keys(self, token_ids: Sequence[int]) -> list[str]:
        self._check_open()
        return chunk_keys(
            checked_tokens(token_ids), self._tiling.chunk_tokens, namespace=self._space
        )

    def _loadable(self, keys: list[str]) -> int:
        self._take_reports(0.0)
        beyond = keys[self._planner.held(keys) :]
        stored = self._lookup.wait(beyond) if self._lookup is not None and beyond else frozenset()
        return self._planner.loadable(keys, stored)

    def _start_loads(self, placements: Sequence[Placement]) -> Transfer:
        loads = self._planner.load(placements)
        self._run(loads=tuple(loads))
        chunk_tokens = self._tiling.chunk_tokens
        return self._transfer({load.job: chunk_tokens - load.first_token for load in loads})

    def _flush(self, deadline_s: float) -> None:
        """What is written back only as it leaves, a few at once, for else the first are dropped."""
        while time.monotonic() < deadline_s:
            self._take_reports(0.0)
            puts = self._planner.flush(_PUTS_AT_ONCE)
            if not puts:
                return
            self._executor.run(Plan(puts=tuple(puts)))
            while self._planner.is_putting and time.monotonic() < deadline_s:
                self._take_reports(_POLL_S)

    def _run(self, loads: tuple[Load, ...] = (), saves: tuple[Save, ...] = ()) -> None:
        puts = tuple(self._planner.plan_puts())
        self._executor.run(Plan(loads=loads, saves=saves, puts=puts))

    def _transfer(self, jobs: dict[int, int]) -> Transfer:
        transfer = Transfer(self._take_reports, jobs)
        self._open.update(dict.fromkeys(jobs, transfer))
        return transfer

    def _take_reports(self, timeout_s: float) -> None:
        self._executor.wait(timeout_s)
        settled = self._planner.settle(self._executor.report())
        for job in (*settled.loaded, *settled.copied):
            self._open.pop(job).ended[job] = job not in settled.failed


class Transfer:
    """Chunks on their way; for the thread of its :class:`KVTransfer`."""

    def __init__(self, take_reports: Callable[[float], None], jobs: dict[int, int]) -> None:
        self.ended: dict[int, bool] = {}
        """Jobs that have ended, and whether well; :class:`KVTransfer` writes it."""
        self._take_reports = take_reports
        self._jobs = jobs

    def done(self) -> bool:
        """Whether all of it has ended, well or badly."""
        self._take_reports(0.0)
        return len(self.ended) == len(self._jobs)

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for the end; returns how many tokens, from the first on, have arrived.

        Raises:
            TimeoutError: it has not ended after ``timeout_s``.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self.done():
            if deadline_s is not None and time.monotonic() > deadline_s:
                raise TimeoutError(f"transfer not done after {timeout_s} s")
            self._take_reports(_POLL_S)
        arrived = itertools.takewhile(lambda job: self.ended[job], self._jobs)
        return sum(self._jobs[job] for job in arrived)
