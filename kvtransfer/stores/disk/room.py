"""Room on a disk that several processes fill: each lists, counts and evicts on its own."""

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

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvtransfer.stores.disk.folder import DiskFolder, OpenFolder

# What others have put is seen when we list; so far above the limit each of them may go.
_LISTINGS_PER_LIMIT = 16
# Times of last use are kept by the file system, which may round them.
_SAME_TIME_S = 1.0


class DiskRoom:
    """Keeps ``folder`` below ``limit_bytes``, None for no limit; evicts what was used longest ago.

    Lists the folder in the background, at first use and again after each sixteenth of the limit
    that was put. Safe to call from several threads.
    """

    def __init__(
        self,
        folder: DiskFolder,
        limit_bytes: int | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.evicted = 0
        """Entries deleted to make room."""
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._clock = clock
        self._index = DiskIndex()
        self._lock = Lock()
        self._unlisted_bytes: int | None = None
        """Put since the listing began; None before the first."""
        self._listing = Thread(target=self.take_stock)

    def __len__(self) -> int:
        """Entries that we know of."""
        return len(self._index)

    @property
    def nbytes(self) -> int:
        """Of all entries that we know of."""
        return self._index.nbytes

    def used_bytes(self) -> int:
        """``nbytes``, for a gauge."""
        return self.nbytes

    def make(self, nbytes: int) -> None:
        """Evict until ``nbytes`` more stay below the limit.

        Raises:
            OSError: what is there may not be deleted.
        """
        self.take_stock_now_and_then()
        if self._limit_bytes is None:
            return
        while self._index.nbytes > self._limit_bytes - nbytes and self._evict_oldest():
            pass
        if self._index.nbytes > self._limit_bytes - nbytes:
            raise OSError(errno.EDQUOT, "it is full of chunks that this user may not delete")

    def free(self, nbytes: int) -> bool:
        """Evict ``nbytes`` whatever the limit; False where there is nothing to evict."""
        goal_bytes = max(self._index.nbytes - nbytes, 0)
        before = self.evicted
        while self._index.nbytes > goal_bytes and self._evict_oldest():
            pass
        return self.evicted > before

    def added(self, path: str, nbytes: int) -> None:
        """An entry was put."""
        with self._lock:
            self._index.add(Entry(path, nbytes, self._clock()))
            if self._unlisted_bytes is not None:
                self._unlisted_bytes += nbytes

    def used(self, path: str, nbytes: int) -> None:
        """An entry was read, or put again."""
        with self._lock:
            self._index.add(Entry(path, nbytes, self._clock()))

    def gone(self, path: str) -> None:
        """An entry was found missing, or was deleted."""
        with self._lock:
            self._index.remove(path)

    def take_stock(self) -> None:
        """List the folder, and delete what writers that died have left."""
        with self._lock:
            self._index.begin_listing()
        listed = None
        with suppress(OSError), self._folder.opened() as folder:
            listed = [] if folder is None else list(folder.entries(self._clock()))
        with self._lock:
            self._index.end_listing(listed)

    def close(self) -> None:
        """Wait for a listing under way."""
        if self._listing.is_alive():
            self._listing.join()

    def take_stock_now_and_then(self) -> None:
        """List the folder in the background, if that is due."""
        with self._lock:
            step_bytes = (self._limit_bytes or 0) // _LISTINGS_PER_LIMIT
            first = self._unlisted_bytes is None
            due = first or (step_bytes and (self._unlisted_bytes or 0) > step_bytes)
            if not due or self._listing.is_alive():
                return
            self._unlisted_bytes = 0
            self._listing = Thread(target=self.take_stock, name="kvtransfer-list", daemon=True)
            self._listing.start()

    def _evict_oldest(self) -> bool:
        """One step towards more room; False where nothing is left to take."""
        with self._lock:
            entry = self._index.oldest()
            if entry is None:
                return False
            self._index.remove(entry.path)
        with suppress(FileNotFoundError), self._folder.opened() as folder:
            if folder is not None:  # otherwise others have deleted it, or all there was
                self._evict(folder, entry)
        return True

    def _evict(self, folder: OpenFolder, entry: Entry) -> None:
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
