"""Keeps the times of entries: a file's mtime is the last put, its atime the last use."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvtransfer.stores.settings import StoreSettings


class EntryTimes:
    """Reads and sets the times of entries' files, where all processes see them.

    ``clock`` returns seconds since 1970.
    """

    def __init__(self, settings: StoreSettings, clock: Callable[[], float]) -> None:
        self._ttl_s = settings.ttl_s
        self._hits_renew = settings.hit_ttl_s is not None
        self._clock = clock

    def are_over(self, found: os.stat_result) -> bool:
        """Whether the time to live of the entry, whose file's status is ``found``, has ended."""
        return self._ttl_s is not None and found.st_mtime + self._ttl_s <= self._clock()

    def renew(self, fd: int) -> None:
        """Note that the entry in the file ``fd`` was put just now.

        Raises:
            OSError: the times can't be set; for example, the disk is read-only.
        """
        now_s = self._clock()
        try:
            os.utime(fd, (now_s, now_s))
        except PermissionError:
            with suppress(PermissionError):  # another user's file: its group may only set "now"
                os.utime(fd)

    def note_use(self, fd: int) -> None:
        """Note that the entry in the file ``fd`` was read just now; errors are ignored."""
        with suppress(OSError):
            if self._hits_renew:
                self.renew(fd)
                return
            try:
                os.utime(fd, ns=(int(self._clock() * 1e9), os.fstat(fd).st_mtime_ns))
            except PermissionError:
                if self._ttl_s is None:  # with a TTL, the new mtime would prolong its life
                    os.utime(fd)
