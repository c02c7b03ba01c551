"""Our learned eviction in vLLM's host memory."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from vllm.v1.kv_offload.base import get_offload_group_idx
from vllm.v1.kv_offload.cpu.policies.base import CachePolicy, ChunkStatus

from kvtransfer.policies.learned import Learned

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vllm.v1.kv_offload.base import OffloadKey, ReqContext


@dataclass
class _KnownRequest:
    """What the policy was told of a request; vLLM keeps it with the request."""

    last: dict[int, str]
    """The name of the latest chunk of each cache group."""


class LearnedPolicy(CachePolicy):
    """Evicts by :class:`kvtransfer.policies.learned.Learned`; for one thread.

    ``Learned`` learns from a request as a whole, before its chunks come. vLLM names the chunks a few at
    a time, so the first time the policy reads all keys that vLLM has of the request. Each cache group
    counts as a request of its own.

    Args:
        cache_capacity: chunks that there is room for.
    """

    def __init__(self, cache_capacity: int) -> None:
        super().__init__(cache_capacity)
        self.clear()

    def get(self, key: OffloadKey) -> ChunkStatus | None:
        """See the base class."""
        return self._chunks.get(key)

    def insert(
        self, key: OffloadKey, chunk: ChunkStatus, req_context: ReqContext | None = None
    ) -> None:
        """See the base class; from 0.33 on vLLM says whose chunk it is, and before it has said so."""
        noted = self._latest if req_context is None else self._known(req_context, [key])
        group, name = get_offload_group_idx(key), key.hex()
        before = self._slots.get(noted.last.get(group, ""))
        noted.last[group] = name
        self._learned.add([chunk.chunk_id], [name], before)
        self._slots[name] = chunk.chunk_id
        self._chunks[key] = chunk
        self._keys[chunk.chunk_id] = key
        if chunk.ref_cnt == 0:
            self.mark_evictable(key)

    def remove(self, key: OffloadKey) -> None:
        """See the base class."""
        self._idle.discard(key)
        self._learned.remove(self._forget(key).chunk_id)

    def touch(self, keys: Iterable[OffloadKey], req_context: ReqContext) -> None:
        """Do nothing: a request counts once, however often vLLM names its chunks."""

    def on_store_miss(self, keys: Iterable[OffloadKey], req_context: ReqContext) -> None:
        """Learn from the request that lacks ``keys``, which come next, unless it is known."""
        self._latest = self._known(req_context, keys)

    def on_request_access(self, keys: Iterable[OffloadKey], req_context: ReqContext) -> None:
        """Learn from the request, which has found or lacks ``keys``; from 0.33 on vLLM says so."""
        self._known(req_context, keys)

    def on_request_finished(
        self,
        key_groups: Sequence[Sequence[OffloadKey]],
        insertion_only_keys: set[OffloadKey],
        reused_keys: set[OffloadKey],
        req_context: ReqContext,
    ) -> None:
        """Learn from a request that has lacked nothing, where vLLM has not told of it before."""
        self._known(req_context, chain.from_iterable(key_groups))

    def evict(
        self, n: int, protected: set[OffloadKey]
    ) -> list[tuple[OffloadKey, ChunkStatus]] | None:
        """See the base class."""
        kept = self._idle & protected
        if len(self._idle) - len(kept) < n:
            return None
        slots = [self._chunks[key].chunk_id for key in kept]
        self._learned.pin(slots)
        evicted = [self._keys[slot] for slot in self._learned.evict(n)]
        self._learned.unpin(slots)
        self._idle.difference_update(evicted)
        return [(key, self._forget(key)) for key in evicted]

    def clear(self) -> None:
        """See the base class."""
        self._learned = Learned(self.cache_capacity)
        self._chunks: dict[OffloadKey, ChunkStatus] = {}
        self._keys: dict[int, OffloadKey] = {}
        self._slots: dict[str, int] = {}
        self._idle: set[OffloadKey] = set()
        self._latest = _KnownRequest({})

    def mark_evictable(self, key: OffloadKey) -> None:
        """See the base class."""
        self._idle.add(key)
        self._learned.unpin([self._chunks[key].chunk_id])

    def mark_non_evictable(self, key: OffloadKey) -> None:
        """See the base class."""
        self._idle.remove(key)
        self._learned.pin([self._chunks[key].chunk_id])

    def _forget(self, key: OffloadKey) -> ChunkStatus:
        chunk = self._chunks.pop(key)
        del self._keys[self._slots.pop(key.hex())]
        return chunk

    def _known(self, req_context: ReqContext, keys: Iterable[OffloadKey]) -> _KnownRequest:
        """What is known of the request, from which ``Learned`` learns if this is the first call."""
        noted: _KnownRequest | None = req_context.get_state(_KnownRequest)
        if noted is None:
            noted = _KnownRequest({})
            req_context.set_state(noted)
            for group, names in _names_by_group(req_context, keys).items():
                self._learned.note_request(names, self._slots)
                noted.last[group] = names[-1]
        return noted


def _names_by_group(
    req_context: ReqContext, keys: Iterable[OffloadKey]
) -> Mapping[int, Sequence[str]]:
    """The names of all chunks of the request, in the order of their tokens; at least of ``keys``."""
    position = req_context.get_offload_key_position
    # vLLM says where a key stands, but has no public list of them.
    known = [*getattr(req_context, "_offload_key_positions", ()), *keys]
    groups: dict[int, list[str]] = {}
    for key in sorted(dict.fromkeys(known), key=lambda each: position(each) or 0):
        groups.setdefault(get_offload_group_idx(key), []).append(key.hex())
    return groups
