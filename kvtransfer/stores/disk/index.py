"""What lies in a folder, least recently used first: what goes when room is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kvtransfer.stores.disk.listing import Entry


class DiskIndex:
    """Pure; several threads must take turns."""

    def __init__(self) -> None:
        self.nbytes = 0
        """Of all entries together."""
        self._entries: dict[str, Entry] = {}
        """By path, the one used longest ago first."""
        self._kept: dict[str, Entry] = {}
        """Those that may not be deleted, until the next listing."""
        self._changed: set[str] | None = None
        """Paths of which we know better than the listing under way."""

    def __len__(self) -> int:
        return len(self._entries) + len(self._kept)

    def add(self, entry: Entry) -> None:
        """``entry`` was used last, whether or not it was known."""
        self.remove(entry.path)
        self._entries[entry.path] = entry
        self.nbytes += entry.nbytes

    def keep(self, entry: Entry) -> None:
        """``entry`` is there and counts, but can't be deleted."""
        self.remove(entry.path)
        self._kept[entry.path] = entry
        self.nbytes += entry.nbytes

    def remove(self, path: str) -> None:
        """The entry at ``path`` is gone; it need not have been known."""
        if self._changed is not None:
            self._changed.add(path)
        known = self._entries.pop(path, None) or self._kept.pop(path, None)
        self.nbytes -= known.nbytes if known else 0

    def oldest(self) -> Entry | None:
        """The one used longest ago, of those that may be deleted as far as we know."""
        return next(iter(self._entries.values()), None)

    def begin_listing(self) -> None:
        """From now on somebody lists the folder, one at a time."""
        self._changed = set()

    def end_listing(self, listed: Iterable[Entry] | None) -> None:
        """``listed`` is all there is, but for what has come or gone meanwhile; None: it failed."""
        changed, self._changed = self._changed or set(), None
        if listed is None:
            return
        known = [*self._entries.values(), *self._kept.values()]
        ours = [entry for entry in known if entry.path in changed]
        theirs = [entry for entry in listed if entry.path not in changed]
        self._entries, self._kept = {}, {}
        self.nbytes = 0
        for entry in [*sorted(theirs, key=lambda entry: entry.used_s), *ours]:
            self.add(entry)
