"""When an entry on disk was last put, its file's mtime, and last used, its atime."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvtransfer.stores.settings import StoreSettings


class EntryTimes:
    """Kept in the file, so that all processes see them; ``clock`` is seconds since 1970."""

    def __init__(self, settings: StoreSettings, clock: Callable[[], float]) -> None:
        self._ttl_s = settings.ttl_s
        self._hits_renew = settings.hit_ttl_s is not None
        self._clock = clock

    def are_over(self, found: os.stat_result) -> bool:
        """Whether the entry has lived its time."""
        return self._ttl_s is not None and found.st_mtime + self._ttl_s <= self._clock()

    def renew(self, fd: int) -> None:
        """It was put just now.

        Raises:
            OSError: the disk is read-only, say.
        """
        now_s = self._clock()
        try:
            os.utime(fd, (now_s, now_s))
        except PermissionError:
            with suppress(PermissionError):  # another user's: its group may say "now", no more
                os.utime(fd)

    def note_use(self, fd: int) -> None:
        """It was read just now; a disk that can't note that is no worse."""
        with suppress(OSError):
            if self._hits_renew:
                self.renew(fd)
                return
            try:
                os.utime(fd, ns=(int(self._clock() * 1e9), os.fstat(fd).st_mtime_ns))
            except PermissionError:
                if self._ttl_s is None:  # otherwise it would live on
                    os.utime(fd)
