"""Removes entries that somebody has chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kvtransfer.stores.interface import StoredEntry


@dataclass
class Cleared:
    """What was removed, or would be."""

    entries: int = 0
    stored_bytes: int = 0
    """Bytes of the entries, as their records say; the lengths of orphans are not known."""
    orphans: int = 0


def clear(
    entries: Iterable[StoredEntry], orphans: Iterable[str], remove: Callable[[str], None]
) -> Iterator[Cleared]:
    """Call ``remove`` with the key of each of ``entries`` and ``orphans``; yield the sum after each.

    Raises:
        StoreError: what ``remove`` raises.
    """
    cleared = Cleared()
    for entry in entries:
        remove(entry.key)
        cleared.entries += 1
        cleared.stored_bytes += entry.nbytes
        yield cleared
    for key in orphans:
        remove(key)
        cleared.orphans += 1
        yield cleared
