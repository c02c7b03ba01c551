"""Sums up what entries hold, by what their records say. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.quotas.limits import tenant_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kvtransfer.stores.interface import StoredEntry

_AGES = ((3600, "under 1 h"), (86400, "1 to 24 h"), (7 * 86400, "1 to 7 d"))
_OLDEST = "over 7 d"
_SIZES = ((1 << 20, "under 1 MiB"), (8 << 20, "1 to 8 MiB"), (32 << 20, "8 to 32 MiB"))
_LARGEST = "over 32 MiB"


@dataclass
class Usage:
    """What a group of entries holds."""

    entries: int = 0
    stored_bytes: int = 0
    tokens: int = 0
    """Tokens of all pieces: where a chunk has several, or several ranks, its tokens count for each."""
    oldest_s: int | None = None
    """When the oldest was put, in seconds since 1970."""
    newest_s: int | None = None

    def add(self, entry: StoredEntry) -> None:
        """Count ``entry``."""
        created_s = entry.created_s
        self.join(Usage(1, entry.nbytes, entry.identity.tokens, created_s, created_s))

    def join(self, other: Usage) -> None:
        """Count what ``other`` has counted."""
        self.entries += other.entries
        self.stored_bytes += other.stored_bytes
        self.tokens += other.tokens
        if other.oldest_s is not None and other.newest_s is not None:
            self.oldest_s = min(filter(None, (self.oldest_s, other.oldest_s)), default=0)
            self.newest_s = max(self.newest_s or 0, other.newest_s)


def columns(now_s: float) -> dict[str, Callable[[StoredEntry], str]]:
    """What entries can be grouped by, by name; ``now_s`` is in seconds since 1970."""
    return {
        "model": lambda entry: entry.identity.model_name,
        "codec": lambda entry: entry.identity.format,
        "dtype": lambda entry: entry.identity.dtype,
        "tenant": lambda entry: tenant_name(entry.identity.tenant),
        "seal": lambda entry: entry.identity.seal,
        "rank": lambda entry: f"{entry.identity.worker_id} of {entry.identity.world_size}",
        "age": lambda entry: _within(now_s - entry.created_s, _AGES, _OLDEST),
        "size": lambda entry: _within(entry.nbytes, _SIZES, _LARGEST),
    }


def summed(
    entries: Iterable[StoredEntry], by: Sequence[str], now_s: float
) -> dict[tuple[str, ...], Usage]:
    """Sum up ``entries`` by the columns named in ``by``, the largest group first.

    Memory grows with the number of groups, and not with that of the entries.
    """
    groups: defaultdict[tuple[str, ...], Usage] = defaultdict(Usage)
    known = columns(now_s)
    chosen = [known[name] for name in by]
    for entry in entries:
        groups[tuple(column(entry) for column in chosen)].add(entry)
    return dict(sorted(groups.items(), key=lambda pair: -pair[1].stored_bytes))


def _within(value: float, limits: Sequence[tuple[float, str]], beyond: str) -> str:
    return next((name for limit, name in limits if value < limit), beyond)
