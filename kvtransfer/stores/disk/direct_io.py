"""Files around the page cache: no copy in the kernel, no memory taken from anybody else.

Direct I/O wants addresses, lengths and offsets that are multiples of a block, and not every file
system has it. Whatever doesn't fit goes through the page cache instead, the same bytes, slower.
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

BLOCK_BYTES = 4096
"""Enough for every device we know of; slots of host memory begin on such addresses too."""

_DIRECT = getattr(os, "O_DIRECT", 0)  # not everywhere


class ShortFileError(OSError):
    """A file ended before all that was asked for, or took less than it was given."""


class DirectIO:
    """Moves bytes between memory and open files; safe to call from several threads."""

    def __init__(self) -> None:
        self._is_possible = bool(_DIRECT)

    def read(self, fd: int, parts: Sequence[memoryview], at_bytes: int, deadline_s: float) -> None:
        """Fill ``parts``, one after the other, from ``at_bytes`` of the file on.

        Raises:
            TimeoutError: ``deadline_s`` of ``time.monotonic`` has passed.
            ShortFileError: the file ends before.
        """
        self._move(os.preadv, fd, parts, at_bytes, deadline_s)

    def write(self, fd: int, parts: Sequence[memoryview], at_bytes: int, deadline_s: float) -> None:
        """Write ``parts``, one after the other, from ``at_bytes`` of the file on.

        Raises:
            TimeoutError: ``deadline_s`` of ``time.monotonic`` has passed.
            ShortFileError: there was no room for all.
        """
        self._move(os.pwritev, fd, parts, at_bytes, deadline_s)

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
        is_direct = self._set_direct(fd, all(map(is_aligned, parts)))
        try:
            moved = call(fd, parts, at_bytes)
        except OSError as error:
            if error.errno != errno.EINVAL or not is_direct:
                raise
            self._is_possible = False  # blocks larger than ours, or a file system that can't
            self._set_direct(fd, False)
            moved = call(fd, parts, at_bytes)
        if moved < sum(map(len, parts)):
            raise ShortFileError(errno.ENOSPC, "file is short")

    def _set_direct(self, fd: int, wanted: bool) -> bool:
        is_direct = wanted and self._is_possible
        try:
            fcntl.fcntl(fd, fcntl.F_SETFL, _DIRECT if is_direct else 0)
        except OSError:
            self._is_possible = is_direct = False
        return is_direct


def is_aligned(view: memoryview) -> bool:
    """Whether direct I/O may use ``view``."""
    address = np.frombuffer(view, np.uint8).ctypes.data if view.nbytes else 0
    return address % BLOCK_BYTES == 0 and view.nbytes % BLOCK_BYTES == 0


def aligned_memory(nbytes: int) -> memoryview:
    """``nbytes`` that begin on a block, not zeroed."""
    memory = np.empty(nbytes + BLOCK_BYTES, np.uint8)
    start = -memory.ctypes.data % BLOCK_BYTES
    return memory.data[start : start + nbytes]


def padded(nbytes: int) -> int:
    """``nbytes`` up to the end of their last block."""
    return -(-nbytes // BLOCK_BYTES) * BLOCK_BYTES
