"""Runs the deciding and the obeying side in one process, behind the object that a caller holds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kvtransfer.arguments import checked_blocks, checked_skip, checked_tokens
from kvtransfer.chunks.keys import chunk_keys
from kvtransfer.chunks.tiling import Placement
from kvtransfer.handle import Transfer
from kvtransfer.plan import Plan
from kvtransfer.transfer_parts import TransferParts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from kvtransfer.chunks.paged import PagedCaches
    from kvtransfer.config import TransferConfig
    from kvtransfer.plan import Load, Save

_POLL_S = 0.05
# The longest that ``close`` takes to put chunks that only eviction would have written back.
_DRAIN_S = 10.0
_FLUSHES_AT_ONCE = 4


class KVTransfer:
    """Saves chunks of KV from paged caches to host memory and stores, and loads them back.

    A chunk is the KV of ``chunk_size`` successive tokens (256 unless configured otherwise) in all
    layers. It is found again by the ids of its tokens and of all tokens before it.

    All calls must come from one thread. ``lookup``, ``load`` and ``prefetch`` wait for a store's
    answer to a lookup, at most ``lookup_timeout_ms``. No call but ``close`` waits for a copy:
    :class:`Transfer` tells when one has ended.

    Ownership: the tensors in ``caches`` stay the caller's and must stay alive until ``close``.
    The caller must neither read nor write the blocks that ``load`` fills, and must not write the
    blocks that ``save`` reads, until the transfer is done. On a GPU, ``load`` and ``save`` run
    after the work that the caller has already submitted to the current stream.

    Arguments are checked before anything begins. After ``close`` every call but ``close`` raises
    ``RuntimeError``; a :class:`Transfer` may still be asked. A store that fails is a miss: it is
    logged and counted, never raised.
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
        """Allocate host memory as ``config`` says; a store is connected to when it is first used.

        Args:
            config: sizes, store, timeouts. ``max_local_cpu_size`` GiB of host memory are
                allocated at once, and pinned where the caches are on a GPU.
            caches: the engine's paged tensors, of any dtype that
                :class:`kvtransfer.PagedCaches` takes, all on one device.
            model_name: the first part of each key in the store; ``config.model_name`` overrides it.
            facts: plain JSON of everything that shapes the cached bytes and isn't visible in
                ``caches``: the weights, quantisation, rope settings, adapters. Only processes
                whose facts are equal find each other's chunks.

        Raises:
            ConfigError: the settings don't fit the caches, host memory is too small for one chunk,
                a fact is not plain JSON, or a store's URL is malformed or of no known kind.
        """
        return cls(TransferParts.open(config, caches, model_name=model_name, facts=facts))

    def __init__(self, parts: TransferParts) -> None:
        self._planner = parts.planner
        self._lookup = parts.lookup
        self._executor = parts.executor
        self._tiling = parts.tiling
        self._space = parts.space
        self._blocks = parts.blocks
        self._is_closed = False
        self._open: dict[int, Transfer] = {}
        """The transfer of each job that has not ended."""

    def lookup(self, token_ids: Sequence[int]) -> int:
        """Count the leading tokens that ``load`` could bring now.

        Waits for the store's answer, at most ``lookup_timeout_ms``; a late answer counts as a miss.

        Args:
            token_ids: the tokens of a sequence from its first on, integers in ``[0, 2**31)``.

        Returns:
            How many tokens, a multiple of ``chunk_size``.

        Raises:
            ValueError: ``token_ids`` is no sequence of integers in ``[0, 2**31)``.
        """
        return self._loadable(self._keys(token_ids)) * self._tiling.chunk_tokens

    def prefetch(self, token_ids: Sequence[int]) -> Transfer:
        """Fetch the chunks of ``token_ids`` from the store into host memory; no block is touched.

        Args:
            token_ids: as for ``lookup``.

        Returns:
            A transfer that is done once all are in host memory, where a later ``load`` finds them.

        Raises:
            ValueError: ``token_ids`` is no sequence of integers in ``[0, 2**31)``.
        """
        keys = self._keys(token_ids)
        placements = [Placement(key) for key in keys[: self._loadable(keys)]]
        return self._start_loads(placements)

    def load(
        self, token_ids: Sequence[int], block_ids: Sequence[int], skip_tokens: int = 0
    ) -> Transfer:
        """Fill blocks with the cached chunks of ``token_ids``, up to the first that is not cached.

        Args:
            token_ids: the whole prefix, from the first token of the sequence on, integers in
                ``[0, 2**31)``.
            block_ids: the blocks of those tokens, in order, from the first token on: distinct
                integers in ``[0, caches.blocks)``, at least one for every ``caches.block_tokens``
                tokens of each whole chunk.
            skip_tokens: leading tokens whose blocks are filled already and are not written; a
                multiple of ``caches.block_tokens``, at most ``len(token_ids)``.

        Returns:
            A transfer of the tokens behind ``skip_tokens``. The contents of blocks whose chunks did
            not arrive are undefined.

        Raises:
            ValueError: an argument is not as above; the message names it and its values.
        """
        keys = self._keys(token_ids)
        ids = self._block_ids(block_ids, len(keys))
        skip_tokens = checked_skip(skip_tokens, len(token_ids), self._tiling.block_tokens)
        self._planner.index.note_request(keys)
        hits = self._loadable(keys)
        tiling = self._tiling
        hit_tokens = hits * tiling.chunk_tokens
        placements = [
            tiling.place(chunk, keys[chunk], ids, hit_tokens, skip_tokens)
            for chunk in tiling.needed(hit_tokens, skip_tokens)
        ]
        return self._start_loads(placements)

    def save(self, token_ids: Sequence[int], block_ids: Sequence[int]) -> Transfer:
        """Cache the whole chunks of ``token_ids`` that host memory doesn't hold yet.

        Chunks for which no slot is free are left out; a partial chunk at the end is never saved.

        Args:
            token_ids: as for ``load``.
            block_ids: as for ``load``; the blocks hold the KV of those tokens, or will by the work
                that is already submitted to the current stream.

        Returns:
            A transfer of the chunks that are copied to host memory. Once it is done the blocks may
            be written again. The store gets the chunks later, at the latest in ``close``.

        Raises:
            ValueError: an argument is not as above; the message names it and its values.
        """
        return self._save(self._keys(token_ids), block_ids)

    def _save(self, keys: list[str], block_ids: Sequence[int]) -> Transfer:
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
        """Finish what is under way, put chunks into the store for at most 10 s, and free host memory.

        A second call does nothing.
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
        """Put the chunks that only eviction would have written: a few at a time, so none is dropped."""
        while time.monotonic() < deadline_s:
            self._take_reports(0.0)
            puts = self._planner.flush(_FLUSHES_AT_ONCE)
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
