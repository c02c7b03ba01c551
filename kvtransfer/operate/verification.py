"""Reads entries and finds those that aren't what their records say."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kvtransfer.operate.pace import Pace
    from kvtransfer.stores.interface import Store, StoredEntry

# Longer payloads are not read: no chunk of a model that is served today comes near.
MOST_BYTES = 1 << 30


class Verdict(StrEnum):
    """What was found of one entry."""

    GOOD = "good"
    DAMAGED = "damaged"
    """The payload is missing, has another length, or isn't what the record's tag says."""
    SEALED = "sealed by another key"
    """It can't be judged without the key that its record names."""
    ENCRYPTED = "a tenant's"
    """It is encrypted, maybe with a tenant's key, and its record is too old to name the tenant."""
    GONE = "gone meanwhile"
    """It was removed or evicted after it was listed."""
    TOO_LONG = "too long to read"


@dataclass
class Findings:
    """How many entries got each verdict, and which of them were damaged."""

    counts: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))
    damaged: list[str] = field(default_factory=list)
    """Keys of the first thousand."""

    @property
    def entries(self) -> int:
        """How many entries have a verdict."""
        return sum(self.counts.values())

    def note(self, key: str, verdict: Verdict) -> None:
        """Count what was found of ``key``."""
        self.counts[verdict] += 1
        if verdict is Verdict.DAMAGED and len(self.damaged) < 1000:
            self.damaged.append(key)


class Verifier:
    """Reads entries of ``store`` into one buffer, which grows to the longest of them.

    Args:
        store: opened with ``only_reads``, so that nothing is removed while it is looked at.
        opens: whether the seal of that name can be opened with the keys that are at hand.
        bytes_pace: bounds the bytes that are read a second.
    """

    def __init__(self, store: Store, opens: Callable[[str], bool], bytes_pace: Pace) -> None:
        self._store = store
        self._opens = opens
        self._pace = bytes_pace
        self._buffer = bytearray()

    def verify(self, entries: Iterable[StoredEntry]) -> Iterator[tuple[StoredEntry, Verdict]]:
        """Yield each entry with what was found of it.

        Raises:
            StoreError: the store doesn't answer.
        """
        for entry in entries:
            yield entry, self._verdict(entry)

    def _verdict(self, entry: StoredEntry) -> Verdict:
        if not self._opens(entry.identity.seal):
            return Verdict.SEALED
        if entry.nbytes > MOST_BYTES:
            return Verdict.TOO_LONG
        self._pace.spend(entry.nbytes)
        if len(self._buffer) < entry.nbytes:
            self._buffer = bytearray(entry.nbytes)
        room, tenant = memoryview(self._buffer)[: entry.nbytes], entry.identity.tenant
        if self._store.get_into(entry.key, room, tenant) is not None:
            return Verdict.GOOD
        if entry.identity.nonce and not tenant:
            return Verdict.ENCRYPTED
        is_there = self._store.record_of(entry.key) is not None
        return Verdict.DAMAGED if is_there else Verdict.GONE
