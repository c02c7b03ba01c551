"""Names every metric and says what it means; collects the counts of one process."""

from __future__ import annotations

from collections import Counter, defaultdict
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

COUNTERS = {
    "host_hit_tokens": "Tokens loaded from host memory, counted when the load begins.",
    "store_hit_tokens": "Tokens loaded from a store (disk or remote), counted when the load begins.",
    "blended_requests": "Requests that reused passages at other positions (approximate; see blend).",
    "blended_tokens": "Tokens of these passages, which were copied and rotated instead of computed.",
    "gap_tokens": "Tokens computed between these passages, before the requests went on.",
    "announced_sequences": "Token sequences announced to other processes, for blending.",
    "learned_sequences": "Token sequences that other processes have announced.",
    "lost_announcements": "Announcements that the store did not take, that came too fast, or that are no good.",
    "refused_tokens": "Cached tokens that were computed because that was predicted to be faster.",
    "probed_chunks": "Chunks fetched only to measure a store that the cost model refuses.",
    "prefetched_chunks": "Chunks fetched into host memory for requests that were still queued.",
    "predicted_load_seconds": "Predicted load time of the loads that began, once the cost model had data.",
    "predicted_prefill_seconds": "Predicted time to compute the same tokens.",
    "load_failed_chunks": "Chunks that could not be loaded; their tokens are recomputed.",
    "unverified_chunks": "Chunks that a store returned with a wrong tag or an unknown key; they are misses.",
    "fetched_bytes": "Bytes of chunks fetched from stores and verified.",
    "to_device_bytes": "Bytes copied from host memory to vLLM's KV blocks.",
    "to_host_bytes": "Bytes copied from vLLM's KV blocks to host memory.",
    "disk_fetched_tokens": "Tokens of chunks fetched from the disk.",
    "remote_fetched_tokens": "Tokens of chunks fetched from the remote store.",
    "promoted_chunks": "Chunks fetched from the remote store and then written to the disk.",
    "promotion_dropped_chunks": "Chunks fetched from the remote store and not written to the disk: no buffer was free.",
    "put_bytes": "Bytes of chunks written to stores, before compression.",
    "put_compressed_chunks": "Chunks written to a store in a shorter form (remote_serde).",
    "put_uncompressed_chunks": "Chunks written to a store as they are.",
    "compressed_from_bytes": "Bytes of the compressed chunks before compression.",
    "compressed_to_bytes": "Bytes of the compressed chunks as they were written.",
    "encode_seconds": "Processor seconds that compressing chunks took.",
    "decode_seconds": "Processor seconds that decompressing fetched chunks took.",
    "put_failed_chunks": "Chunks that a store failed to write.",
    "put_dropped_chunks": "Chunks not written to stores because the write queue was full (max_pending_puts).",
    "remote_quota_refused_entries": "Entries not put into the remote store because a quota had no room for them.",
    "remote_quota_evicted_entries": "Entries evicted from the remote store for a quota, the oldest of its scope.",
    "put_lost_chunks": "Chunks evicted from host memory before they could be written back.",
    "save_skipped_chunks": "Chunks not saved because no slot of host memory was free.",
    "quota_refused_chunks": "Chunks not saved because their tenant's quota of host memory was in use.",
    "saved_tokens": "Tokens saved from vLLM's KV blocks to host memory.",
    "evicted_chunks": "Chunks evicted from host memory to make room.",
    "quota_evicted_chunks": "Chunks among these that their own tenant's quota left no room for.",
    "share_evicted_chunks": "Chunks among these that made room for another tenant, by fair shares.",
    "lookup_late": "Requests that stopped waiting for a store lookup after lookup_timeout_ms.",
}

DURATIONS = {
    "load_seconds": "Seconds from planning a request's load to its end.",
    "blend_copy_seconds": "Seconds from planning a request's passages until all were in place.",
    "blend_gap_seconds": "Seconds from then until the gaps between them were computed.",
    "fetch_seconds": "Seconds to fetch one chunk from a store, on one of several threads.",
    "put_seconds": "Seconds to write one chunk to a store.",
}

GAUGES = {
    "loading_chunks": "Chunks being loaded.",
    "waiting_fetches": "Chunks queued to be fetched from a store.",
    "waiting_puts": "Chunks queued to be written to a store.",
    "disk_used_bytes": "Bytes of all chunks in the disk folder, as far as this process knows.",
    "open_breakers": "Stores, or nodes of a cluster, whose circuit breaker is open after repeated failures.",
}

TENANT_GAUGES = {
    "tenant_host_bytes": "Bytes of host memory that chunks of a tenant hold, by tenant (quotas_file).",
}
"""Gauges with a value for each tenant that the quotas file names, and one for all others."""


class Metrics:
    """Collects counts and durations between two calls of ``take``; any thread may call."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._amounts: Counter[str] = Counter()
        self._durations: defaultdict[str, list[float]] = defaultdict(list)
        self._gauges: defaultdict[str, list[Callable[[], int]]] = defaultdict(list)
        self._tenants: dict[str, Callable[[], Mapping[str, int]]] = {}
        self._shown: set[str] = set()
        """Gauges that were not zero at the last ``take``."""

    def add(self, name: str, amount: float = 1) -> None:
        """Add ``amount`` to a counter, or to the list of a duration in seconds.

        Args:
            name: one of ``COUNTERS`` or ``DURATIONS``.
            amount: a number of what the counter counts, or seconds.

        Raises:
            ValueError: there is no such name.
        """
        with self._lock:
            if name in DURATIONS:
                self._durations[name].append(amount)
            elif name in COUNTERS:
                self._amounts[name] += amount  # type: ignore[assignment]
            else:
                raise ValueError(f"{name} is not a counter; add it to COUNTERS with its meaning")

    def watch(self, name: str, read: Callable[[], int]) -> None:
        """Have ``take`` read a gauge each time; it sums the values of all that watch one name.

        Args:
            name: one of ``GAUGES``.
            read: returns the present value; ``take`` calls it on its own thread, so it must not wait.

        Raises:
            ValueError: there is no such name.
        """
        if name not in GAUGES:
            raise ValueError(f"{name} is not a gauge; add it to GAUGES with its meaning")
        self._gauges[name].append(read)

    def watch_tenants(self, name: str, read: Callable[[], Mapping[str, int]]) -> None:
        """Have ``take`` read a gauge of tenants each time.

        Args:
            name: one of ``TENANT_GAUGES``.
            read: returns the present values by tenant, always of the same tenants; as of ``watch``.

        Raises:
            ValueError: there is no such name.
        """
        if name not in TENANT_GAUGES:
            raise ValueError(f"{name} is not a gauge of tenants; add it to TENANT_GAUGES")
        self._tenants[name] = read

    def take(self) -> dict[str, Any]:
        """Return what was counted since the last call, and the gauges, as plain JSON by name.

        A counter has its sum, if that is not zero; a duration a list of seconds; a gauge its
        present value, or those by tenant, if that is not zero or was not at the last call.
        """
        with self._lock:
            amounts, self._amounts = self._amounts, Counter()
            durations, self._durations = self._durations, defaultdict(list)
        counted = {name: amount for name, amount in amounts.items() if amount}
        return {**counted, **durations, **self._seen()}

    def _seen(self) -> dict[str, Any]:
        values: dict[str, Any] = {
            name: sum(read() for read in reads) for name, reads in self._gauges.items()
        }
        tenants = {name: dict(read()) for name, read in self._tenants.items()}
        shown = {name for name, value in values.items() if value}
        shown |= {name for name, by_tenant in tenants.items() if any(by_tenant.values())}
        values |= tenants
        seen = {name: values[name] for name in shown | self._shown}
        self._shown = shown
        return seen
