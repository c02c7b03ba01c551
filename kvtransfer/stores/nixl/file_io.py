"""Reads and writes files by NIXL, through memory of its own, so that no call outlives its deadline.

NIXL can't take a transfer back. It moves bytes only between files and registered memory of this
store; a transfer that is late keeps that memory, not the caller's.
"""

from __future__ import annotations

import errno
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from kvtransfer.rare_log import RareLog
from kvtransfer.stores.disk.file.direct_io import SECTOR_BYTES, DirectIO, is_aligned
from kvtransfer.stores.nixl.agent import posix_agent
from kvtransfer.stores.nixl.regions import Regions
from kvtransfer.stores.nixl.transfer import TransferError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kvtransfer.stores.nixl.regions import Region
    from kvtransfer.stores.nixl.transfer import Operation, Transfer

# Only the last piece is verified after all reading has ended.
_PIECE_BYTES = 1 << 20


class NixlIO:
    """A :class:`kvtransfer.stores.disk.file.file_io.FileIO` of NIXL's POSIX plugin.

    Where a transfer fails, system calls repeat it: they name the cause, which NIXL doesn't. The
    deadline is when a transfer must have ended.

    Raises:
        ConfigError: NIXL isn't installed, or has no such plugin here.
    """

    def __init__(self) -> None:
        self._regions = Regions(posix_agent())
        self._calls = DirectIO()
        self._log = RareLog()

    def read(self, fd: int, parts: Sequence[memoryview], at_bytes: int, deadline_s: float) -> None:
        """See :class:`FileIO`."""
        nbytes = sum(map(len, parts))
        with self._lent(nbytes, deadline_s) as region:
            self._finish(self._begin(region, "READ", fd, 0, nbytes, at_bytes), deadline_s)
            rest = region.memory
            for part in parts:
                _copy(part, rest[: len(part)])
                rest = rest[len(part) :]

    def write(self, fd: int, parts: Sequence[memoryview], at_bytes: int, deadline_s: float) -> None:
        """See :class:`FileIO`."""
        nbytes = sum(map(len, parts))
        with self._lent(nbytes, deadline_s) as region:
            rest = region.memory
            for part in parts:
                _copy(rest[: len(part)], part)
                rest = rest[len(part) :]
            self._finish(self._begin(region, "WRITE", fd, 0, nbytes, at_bytes), deadline_s)

    @contextmanager
    def writing(
        self, fd: int, part: memoryview, at_bytes: int, deadline_s: float
    ) -> Iterator[None]:
        """See :class:`FileIO`."""
        with self._lent(len(part), deadline_s) as region:
            _copy(region.memory[: len(part)], part)
            transfer = self._begin(region, "WRITE", fd, 0, len(part), at_bytes)
            yield
            self._finish(transfer, deadline_s)

    @contextmanager
    def reading(
        self, fd: int, body: memoryview, last: memoryview, deadline_s: float
    ) -> Iterator[Iterator[tuple[int, memoryview]]]:
        """See :class:`FileIO`."""
        ends_at = len(body) + len(last)
        with self._lent(ends_at, deadline_s) as region:
            starts = range(0, len(body), _PIECE_BYTES)
            transfers = [
                self._begin(region, "READ", fd, at, min(_PIECE_BYTES, len(body) - at), at)
                for at in starts
            ]
            final = self._begin(region, "READ", fd, len(body), len(last), len(body))
            self._finish(final, deadline_s)
            _copy(last, final.memory)
            yield self._arriving(transfers, body, deadline_s)

    def close(self) -> None:
        """See :class:`FileIO`."""
        self._regions.close()

    @contextmanager
    def _lent(self, nbytes: int, deadline_s: float) -> Iterator[Region]:
        if time.monotonic() > deadline_s:
            raise TimeoutError(errno.ETIMEDOUT, "no answer in time")
        with self._regions.lent(nbytes) as region:
            yield region

    def _begin(
        self, region: Region, operation: Operation, fd: int, begin: int, nbytes: int, at_bytes: int
    ) -> Transfer:
        of_sectors = at_bytes % SECTOR_BYTES == 0
        part = region.memory[begin : begin + nbytes]
        self._calls.set_direct(fd, of_sectors and is_aligned(part))
        return region.begin(operation, fd, begin, nbytes, at_bytes)

    def _finish(self, transfer: Transfer, deadline_s: float) -> None:
        """Wait for ``transfer``; repeat it by system calls where NIXL fails."""
        try:
            transfer.wait(deadline_s)
        except TransferError as error:
            self._log.warn(f"NIXL says {error}, so a system call moves these bytes")
            call = self._calls.read if transfer.operation == "READ" else self._calls.write
            call(transfer.fd, [transfer.memory], transfer.at_bytes, deadline_s)

    def _arriving(
        self, transfers: Sequence[Transfer], body: memoryview, deadline_s: float
    ) -> Iterator[tuple[int, memoryview]]:
        for transfer in transfers:
            self._finish(transfer, deadline_s)
            at_bytes = transfer.at_bytes
            piece = body[at_bytes : at_bytes + len(transfer.memory)]
            _copy(piece, transfer.memory)
            yield at_bytes, piece


def _copy(target: memoryview, source: memoryview) -> None:
    """Copy ``source`` without keeping other threads from running, as an assignment does."""
    np.copyto(np.frombuffer(target, np.uint8), np.frombuffer(source, np.uint8))
