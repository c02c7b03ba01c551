"""What lies in a folder, least recently used first: what goes when room is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kvtransfer.stores.disk_folder import Entry


class DiskIndex:
    """Pure; several threads must take turns."""

    def __init__(self) -> None:
        self.nbytes = 0
        """Of all entries together."""
        self._entries: dict[str, Entry] = {}
        """By path, the one used longest ago first."""

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> None:
        """``entry`` was used last, whether or not it was known."""
        self.remove(entry.path)
        self._entries[entry.path] = entry
        self.nbytes += entry.nbytes

    def remove(self, path: str) -> None:
        """The entry at ``path`` is gone; it need not have been known."""
        known = self._entries.pop(path, None)
        self.nbytes -= known.nbytes if known else 0

    def oldest(self) -> Entry | None:
        """The one used longest ago."""
        return next(iter(self._entries.values()), None)

    def replace(self, listed: Iterable[Entry], began_s: float) -> None:
        """``listed`` is all there is, but for what was used since the listing began."""
        newer = [entry for entry in self._entries.values() if entry.used_s >= began_s]
        self._entries = {}
        self.nbytes = 0
        for entry in [*sorted(listed, key=lambda entry: entry.used_s), *newer]:
            self.add(entry)
