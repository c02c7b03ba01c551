"""Reads and writes files past the page cache, which saves a copy and leaves its memory to others.

Direct I/O needs addresses, lengths and offsets that are multiples of a sector, and some file
systems don't have it. Everything else goes through the page cache: the same bytes, slower.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SECTOR_BYTES = 4096
"""A multiple of the sector of every device we know; slots of host memory are aligned to it too."""

_DIRECT = getattr(os, "O_DIRECT", 0)  # some systems have none


class ShortFileError(OSError):
    """A file ended before the end of a read, or the disk took less than was written."""


class DirectIO:
    """Moves bytes between memory and open files; safe to call from several threads."""

    def __init__(self) -> None:
        self._is_possible = bool(_DIRECT)

    def read(self, fd: int, parts: Sequence[memoryview], at_bytes: int, deadline_s: float) -> None:
        """Fill ``parts`` one after the other with the file's bytes from offset ``at_bytes`` on.

        Raises:
            TimeoutError: ``deadline_s`` of ``time.monotonic`` has passed; nothing was read.
            ShortFileError: the file ends before ``parts`` are full.
        """
        self._move(os.preadv, fd, parts, at_bytes, deadline_s)

    def write(self, fd: int, parts: Sequence[memoryview], at_bytes: int, deadline_s: float) -> None:
        """Write ``parts`` one after the other from offset ``at_bytes`` of the file on.

        Raises:
            TimeoutError: ``deadline_s`` of ``time.monotonic`` has passed; nothing was written.
            ShortFileError: the disk had no room for all of them.
        """
        self._move(os.pwritev, fd, parts, at_bytes, deadline_s)

    def set_direct(self, fd: int, wanted: bool) -> bool:
        """Let the open file ``fd`` bypass the page cache if ``wanted``; False where it doesn't."""
        is_direct = wanted and self._is_possible
        try:
            fcntl.fcntl(fd, fcntl.F_SETFL, _DIRECT if is_direct else 0)
        except OSError:
            self._is_possible = is_direct = False
        return is_direct

    def _move(
        self,
        call: Callable[[int, Sequence[memoryview], int], int],
        fd: int,
        parts: Sequence[memoryview],
        at_bytes: int,
        deadline_s: float,
    ) -> None:
        if time.monotonic() > deadline_s:
            raise TimeoutError(errno.ETIMEDOUT, "no answer in time")
        is_direct = self.set_direct(fd, all(map(is_aligned, parts)))
        try:
            moved = call(fd, parts, at_bytes)
        except OSError as error:
            if error.errno != errno.EINVAL or not is_direct:
                raise
            self._is_possible = (
                False  # the device has larger sectors, or the file system no direct I/O
            )
            self.set_direct(fd, False)
            moved = call(fd, parts, at_bytes)
        if moved < sum(map(len, parts)):
            raise ShortFileError(errno.ENOSPC, "file is short")


def is_aligned(view: memoryview) -> bool:
    """Whether direct I/O may use ``view``: its address and length are multiples of a sector."""
    address = np.frombuffer(view, np.uint8).ctypes.data if view.nbytes else 0
    return address % SECTOR_BYTES == 0 and view.nbytes % SECTOR_BYTES == 0


def aligned_memory(nbytes: int) -> memoryview:
    """Allocate ``nbytes`` that begin at a multiple of a sector; they are not zeroed."""
    memory = np.empty(nbytes + SECTOR_BYTES, np.uint8)
    start = -memory.ctypes.data % SECTOR_BYTES
    return memory.data[start : start + nbytes]


def padded(nbytes: int) -> int:
    """Round ``nbytes`` up to full sectors."""
    return -(-nbytes // SECTOR_BYTES) * SECTOR_BYTES
