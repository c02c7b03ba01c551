"""Indexes the entries of a folder, least recently used first, to choose which are evicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kvtransfer.stores.disk.listing import Entry


class DiskIndex:
    """The entries that this process knows of, and their length. Pure; callers hold a lock."""

    def __init__(self) -> None:
        self.nbytes = 0
        """Bytes of all entries together."""
        self._entries: dict[str, Entry] = {}
        """Entries by path, least recently used first."""
        self._kept: dict[str, Entry] = {}
        """Entries that may not be deleted, until the next listing."""
        self._changed: set[str] | None = None
        """Paths that were added or removed since the listing under way began; None without one."""

    def __len__(self) -> int:
        return len(self._entries) + len(self._kept)

    def add(self, entry: Entry) -> None:
        """Add ``entry``, or renew it, as the most recently used."""
        self.remove(entry.path)
        self._entries[entry.path] = entry
        self.nbytes += entry.nbytes

    def keep(self, entry: Entry) -> None:
        """Count ``entry``, which can't be deleted, without offering it for eviction."""
        self.remove(entry.path)
        self._kept[entry.path] = entry
        self.nbytes += entry.nbytes

    def remove(self, path: str) -> None:
        """Forget the entry at ``path``, if it is known."""
        if self._changed is not None:
            self._changed.add(path)
        known = self._entries.pop(path, None) or self._kept.pop(path, None)
        self.nbytes -= known.nbytes if known else 0

    def oldest(self) -> Entry | None:
        """Return the least recently used entry that may be deleted, as far as we know."""
        return next(iter(self._entries.values()), None)

    def begin_listing(self) -> None:
        """Note changes from now on: a listing of the folder begins. One runs at a time."""
        self._changed = set()

    def end_listing(self, listed: Iterable[Entry] | None) -> None:
        """Take ``listed`` for all entries, apart from changes since it began; None: it failed."""
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
