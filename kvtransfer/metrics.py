"""What is counted, by name and with its meaning; who counts adds, who reports takes."""

from __future__ import annotations

from collections import Counter, defaultdict
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

COUNTERS = {
    "host_hit_tokens": "Tokens whose load began from host memory.",
    "store_hit_tokens": "Tokens whose load began from the store.",
    "refused_tokens": "Cached tokens that were not loaded: computing them was expected to be faster.",
    "probed_chunks": "Chunks fetched only to see how fast a refused store is by now.",
    "prefetched_chunks": "Chunks fetched for requests that still waited in line.",
    "predicted_load_seconds": "What the cost model expected of the loads, once it knew.",
    "predicted_prefill_seconds": "What it expected computing the same tokens to take.",
    "load_failed_chunks": "Chunks that a load could not bring; their tokens are recomputed.",
    "unverified_chunks": "Chunks in a store whose tag was wrong or of no key of ours: misses.",
    "fetched_bytes": "Bytes of verified chunks that the store sent.",
    "to_device_bytes": "Bytes copied from host memory into paged blocks.",
    "to_host_bytes": "Bytes copied from paged blocks to host memory.",
    "disk_fetched_tokens": "Tokens of chunks that came from the disk.",
    "remote_fetched_tokens": "Tokens of chunks that came from the remote store.",
    "promoted_chunks": "Chunks from the remote store that the disk has taken since.",
    "promotion_dropped_chunks": "Chunks from the remote store that the disk was not given.",
    "put_bytes": "Bytes handed to the store.",
    "put_failed_chunks": "Chunks that the store did not take.",
    "put_dropped_chunks": "Chunks not offered to the store because too many were waiting.",
    "put_lost_chunks": "Chunks that left host memory before they could be written back.",
    "save_skipped_chunks": "Chunks not saved because no slot of host memory was free.",
    "saved_tokens": "Tokens copied from paged blocks to host memory, to be found again.",
    "evicted_chunks": "Chunks that left host memory to make room.",
    "lookup_late": "Requests that did not wait for the store's answer.",
}

DURATIONS = {
    "load_seconds": "From a request's plan to load until all of it had ended.",
    "fetch_seconds": "Waiting for the store to send one chunk, on one of several threads.",
    "put_seconds": "Handing one chunk to the store.",
}

GAUGES = {
    "loading_chunks": "Chunks whose load is under way.",
    "waiting_fetches": "Chunks that wait to be fetched.",
    "waiting_puts": "Chunks that wait to be put.",
    "disk_used_bytes": "Bytes of the chunks in the folder, whoever put them, as far as is known.",
    "open_breakers": "Stores, or nodes of a cluster, left alone for now after failures in a row.",
}


class Metrics:
    """Amounts since the last ``take``; any thread may call."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._amounts: Counter[str] = Counter()
        self._durations: defaultdict[str, list[float]] = defaultdict(list)
        self._gauges: defaultdict[str, list[Callable[[], int]]] = defaultdict(list)
        self._shown: set[str] = set()
        """Gauges that were not at zero when last taken."""

    def add(self, name: str, amount: float = 1) -> None:
        """Count ``amount`` under ``name``, one of ``COUNTERS``, or as one of its ``DURATIONS``."""
        with self._lock:
            if name in DURATIONS:
                self._durations[name].append(amount)
            elif name in COUNTERS:
                self._amounts[name] += amount  # type: ignore[assignment]
            else:
                raise ValueError(f"{name} is not a counter; add it to COUNTERS with its meaning")

    def watch(self, name: str, read: Callable[[], int]) -> None:
        """Ask ``read`` at each ``take``; all that are watched under ``name`` are summed.

        Args:
            name: one of ``GAUGES``.
            read: must be quick, and is called by the thread that takes.
        """
        if name not in GAUGES:
            raise ValueError(f"{name} is not a gauge; add it to GAUGES with its meaning")
        self._gauges[name].append(read)

    def take(self) -> dict[str, Any]:
        """What was counted since the last call and what the gauges show, in plain JSON.

        Sums that are not zero, lists of durations, and each gauge until it has been at zero once.
        """
        with self._lock:
            amounts, self._amounts = self._amounts, Counter()
            durations, self._durations = self._durations, defaultdict(list)
        counted = {name: amount for name, amount in amounts.items() if amount}
        return {**counted, **durations, **self._seen()}

    def _seen(self) -> dict[str, int]:
        values = {name: sum(read() for read in reads) for name, reads in self._gauges.items()}
        shown = {name for name, value in values.items() if value}
        seen = {name: values[name] for name in shown | self._shown}
        self._shown = shown
        return seen
