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
        self._changed: set[str] | None = None
        """Paths of which we know better than the listing under way."""

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> None:
        """``entry`` was used last, whether or not it was known."""
        self.remove(entry.path)
        self._entries[entry.path] = entry
        self.nbytes += entry.nbytes

    def remove(self, path: str) -> None:
        """The entry at ``path`` is gone; it need not have been known."""
        if self._changed is not None:
            self._changed.add(path)
        known = self._entries.pop(path, None)
        self.nbytes -= known.nbytes if known else 0

    def oldest(self) -> Entry | None:
        """The one used longest ago."""
        return next(iter(self._entries.values()), None)

    def begin_listing(self) -> None:
        """From now on somebody lists the folder, one at a time."""
        self._changed = set()

    def end_listing(self, listed: Iterable[Entry] | None) -> None:
        """``listed`` is all there is, but for what has come or gone meanwhile; None: it failed."""
        changed, self._changed = self._changed or set(), None
        if listed is None:
            return
        ours = [entry for entry in self._entries.values() if entry.path in changed]
        theirs = [entry for entry in listed if entry.path not in changed]
        self._entries = {}
        self.nbytes = 0
        for entry in [*sorted(theirs, key=lambda entry: entry.used_s), *ours]:
            self.add(entry)
