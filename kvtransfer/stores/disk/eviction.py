"""Evicts entries from a folder that several processes fill; each lists, counts and evicts alone."""

from __future__ import annotations

import errno
import time
from contextlib import suppress
from dataclasses import replace
from threading import Lock, Thread
from typing import TYPE_CHECKING

from kvtransfer.stores.disk.folder import is_of_one_path
from kvtransfer.stores.disk.index import DiskIndex
from kvtransfer.stores.disk.listing import Entry
from kvtransfer.stores.disk.names import chunk_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvtransfer.stores.disk.folder import ChunkFolder, OpenFolder

# Only a listing shows what other processes have put, so each may exceed the limit by this part.
_LISTINGS_PER_LIMIT = 16
# A file system may round the times of last use.
_SAME_TIME_S = 1.0


class DiskEviction:
    """Keeps ``folder`` below ``limit_bytes`` by evicting the least recently used entries.

    None is no limit. The folder is listed in the background at first use, and again after each
    sixteenth of the limit that was put. Safe to call from several threads. ``clock`` returns
    seconds since 1970; ``told`` is called with the chunk or piece of each entry that was evicted.
    """

    def __init__(
        self,
        folder: ChunkFolder,
        limit_bytes: int | None,
        clock: Callable[[], float] = time.time,
        told: Callable[[str], None] | None = None,
    ) -> None:
        self.evicted = 0
        """Entries deleted to make room."""
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._clock = clock
        self._told = told
        self._index = DiskIndex()
        self._lock = Lock()
        self._unlisted_bytes: int | None = None
        """Bytes put since the last listing began; None before the first."""
        self._listing = Thread(target=self.rescan)

    def __len__(self) -> int:
        """Count the entries that this process knows of."""
        return len(self._index)

    @property
    def nbytes(self) -> int:
        """Bytes of all entries that this process knows of."""
        return self._index.nbytes

    def used_bytes(self) -> int:
        """Return ``nbytes``, for a gauge."""
        return self.nbytes

    def reserve(self, nbytes: int) -> None:
        """Evict until ``nbytes`` more stay below the limit.

        Raises:
            OSError: too few entries may be deleted.
        """
        self.rescan_if_due()
        if self._limit_bytes is None:
            return
        while self._index.nbytes > self._limit_bytes - nbytes and self._evict_oldest():
            pass
        if self._index.nbytes > self._limit_bytes - nbytes:
            raise OSError(errno.EDQUOT, "it is full of chunks that this user may not delete")

    def evict(self, nbytes: int) -> bool:
        """Evict ``nbytes``, whatever the limit; False where there is nothing to evict."""
        goal_bytes = max(self._index.nbytes - nbytes, 0)
        before = self.evicted
        while self._index.nbytes > goal_bytes and self._evict_oldest():
            pass
        return self.evicted > before

    def added(self, path: str, nbytes: int) -> None:
        """Note that an entry was put at ``path``, in a file of ``nbytes``."""
        with self._lock:
            self._index.add(Entry(path, nbytes, self._clock()))
            if self._unlisted_bytes is not None:
                self._unlisted_bytes += nbytes

    def used(self, path: str, nbytes: int) -> None:
        """Note that the entry at ``path`` was read, or put again."""
        with self._lock:
            self._index.add(Entry(path, nbytes, self._clock()))

    def gone(self, path: str) -> None:
        """Note that there is no entry at ``path``."""
        with self._lock:
            self._index.remove(path)

    def rescan(self) -> None:
        """List the folder, and delete temporary files that dead writers left."""
        with self._lock:
            self._index.begin_listing()
        listed = None
        with suppress(OSError), self._folder.opened() as folder:
            listed = [] if folder is None else list(folder.entries(self._clock()))
        with self._lock:
            self._index.end_listing(listed)

    def rescan_if_due(self) -> None:
        """List the folder in the background, if that is due."""
        with self._lock:
            step_bytes = (self._limit_bytes or 0) // _LISTINGS_PER_LIMIT
            first = self._unlisted_bytes is None
            due = first or (step_bytes and (self._unlisted_bytes or 0) > step_bytes)
            if not due or self._listing.is_alive():
                return
            self._unlisted_bytes = 0
            self._listing = Thread(target=self.rescan, name="kvtransfer-list", daemon=True)
            self._listing.start()

    def close(self) -> None:
        """Wait for a listing under way."""
        if self._listing.is_alive():
            self._listing.join()

    def _evict_oldest(self) -> bool:
        """Evict one entry, or learn that it was used or is gone; False where none is left."""
        with self._lock:
            entry = self._index.oldest()
            if entry is None:
                return False
            self._index.remove(entry.path)
        with suppress(FileNotFoundError), self._folder.opened() as folder:
            if folder is not None:  # else the folder was deleted, and the entry with it
                self._delete_unused(folder, entry)
        return True

    def _delete_unused(self, folder: OpenFolder, entry: Entry) -> None:
        found = folder.stat(entry.path)
        if found is not None and found.st_atime > entry.used_s + _SAME_TIME_S:
            with self._lock:  # another process has used it
                self._index.add(replace(entry, used_s=found.st_atime))
            return
        try:
            folder.remove(entry.path)
        except FileNotFoundError:
            return  # another process was first
        except OSError as error:
            if not is_of_one_path(error):
                raise
            with self._lock:
                self._index.keep(entry)
            return
        self.evicted += 1
        if self._told is not None:
            self._told(chunk_at(entry.path))
