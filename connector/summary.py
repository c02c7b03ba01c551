"""Sums metrics up in a few phrases for the log: what was restored, saved and lost."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from kvtransfer.metrics import GAUGES, TENANT_GAUGES

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOST = {
    "load_failed_chunks": "not loaded",
    "put_failed_chunks": "not taken by the store",
    "put_dropped_chunks": "dropped before the store",
    "put_lost_chunks": "evicted before the store",
    "save_skipped_chunks": "not saved",
    "quota_refused_chunks": "above a quota",
}


class Totals:
    """Sums what was counted since the engine started; as text it is those phrases."""

    def __init__(self) -> None:
        self._sums: Counter[str] = Counter()

    def add(self, amounts: Mapping[str, Any]) -> None:
        """Add ``amounts`` by metric; a duration has a list of seconds."""
        self._sums.update(sums(amounts))

    def __str__(self) -> str:
        return ", ".join(f"{name} {said}" for name, said in phrases(self._sums).items())


def sums(amounts: Mapping[str, Any]) -> dict[str, float]:
    """Return one number for each counter and duration; gauges are left out."""
    return {
        name: sum(amount) if isinstance(amount, list) else amount
        for name, amount in amounts.items()
        if name not in GAUGES and name not in TENANT_GAUGES
    }


def phrases(amounts: Mapping[str, float]) -> dict[str, str]:
    """Say what was restored, from where and how fast, what was saved and what was lost."""
    said = {"restored": _restored(amounts), "saved": f"{amounts.get('saved_tokens', 0):.0f} tokens"}
    if blended := amounts.get("blended_tokens"):
        said["blended"] = (
            f"{blended:.0f} tokens of {amounts.get('blended_requests', 0):.0f} requests, and "
            f"{amounts.get('gap_tokens', 0):.0f} computed between them"
        )
    lost = {words: int(amounts[name]) for name, words in _LOST.items() if amounts.get(name)}
    if lost:
        each = ", ".join(f"{count} {words}" for words, count in lost.items())
        said["lost"] = f"{sum(lost.values())} chunks ({each})"
    return said


def _restored(amounts: Mapping[str, float]) -> str:
    host, store = amounts.get("host_hit_tokens", 0), amounts.get("store_hit_tokens", 0)
    if not host + store:
        return "0 tokens"
    said = f"{host + store:.0f} tokens ({host:.0f} from host memory, {store:.0f} from {_store(amounts)})"
    took_s, compute_s = amounts.get("load_seconds", 0), amounts.get("predicted_prefill_seconds", 0)
    return f"{said} in {took_s:.2f} s" + (f" instead of {compute_s:.2f} s" if compute_s else "")


def _store(amounts: Mapping[str, float]) -> str:
    """Name the store, or the disk's share: each rank counts fetches, so absolute numbers mislead."""
    disk, remote = amounts.get("disk_fetched_tokens", 0), amounts.get("remote_fetched_tokens", 0)
    if disk and remote:
        return f"disk and store, {disk / (disk + remote):.0%} of it from disk"
    return "disk" if disk else "store"
