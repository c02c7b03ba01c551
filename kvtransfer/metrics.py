"""What is counted, by name and with its meaning; who counts adds, who reports takes."""

from __future__ import annotations

from collections import Counter
from threading import Lock

COUNTERS = {
    "host_hit_tokens": "Tokens whose load began from host memory.",
    "store_hit_tokens": "Tokens whose load began from the store.",
    "refused_tokens": "Cached tokens that were not loaded: computing them was expected to be faster.",
    "probed_chunks": "Chunks fetched only to see how fast a refused store is by now.",
    "prefetched_chunks": "Chunks fetched for requests that still waited in line.",
    "load_seconds": "Seconds from a request's plan to load until all of it had ended.",
    "predicted_load_seconds": "What the cost model expected of those loads, once it knew.",
    "predicted_prefill_seconds": "What it expected computing the same tokens to take.",
    "load_failed_chunks": "Chunks that a load could not bring; their tokens are recomputed.",
    "fetched_bytes": "Bytes of verified chunks that the store sent.",
    "fetch_seconds": "Seconds spent waiting for the store to send them, summed over threads.",
    "to_device_bytes": "Bytes copied from host memory into paged blocks.",
    "to_host_bytes": "Bytes copied from paged blocks to host memory.",
    "disk_fetched_tokens": "Tokens of chunks that came from the disk.",
    "remote_fetched_tokens": "Tokens of chunks that came from the remote store.",
    "promoted_chunks": "Chunks from the remote store that the disk has taken since.",
    "promotion_dropped_chunks": "Chunks from the remote store that the disk was not given.",
    "put_bytes": "Bytes handed to the store.",
    "put_seconds": "Seconds spent handing them over.",
    "put_failed_chunks": "Chunks that the store did not take.",
    "put_dropped_chunks": "Chunks not offered to the store because too many were waiting.",
    "save_skipped_chunks": "Chunks not saved because no slot of host memory was free.",
    "evicted_chunks": "Chunks that left host memory to make room.",
    "lookup_late": "Requests that did not wait for the store's answer.",
}


class Metrics:
    """Amounts since the last ``take``; any thread may call."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._amounts: Counter[str] = Counter()

    def add(self, name: str, amount: float = 1) -> None:
        """Count ``amount`` under ``name``, one of ``COUNTERS``."""
        if name not in COUNTERS:
            raise ValueError(f"{name} is not a counter; add it to COUNTERS with its meaning")
        with self._lock:
            self._amounts[name] += amount  # type: ignore[assignment]

    def take(self) -> dict[str, float]:
        """What was counted since the last call; only names with an amount."""
        with self._lock:
            taken, self._amounts = self._amounts, Counter()
        return {name: amount for name, amount in taken.items() if amount}
