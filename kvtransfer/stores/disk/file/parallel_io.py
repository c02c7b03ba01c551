"""Reads and writes long payloads in pieces, on several threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kvtransfer.stores.disk.file.direct_io import DirectIO

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

# Only the last piece is verified after all reading has ended.
_PIECE_BYTES = 1 << 20
# A single caller keeps a disk busy only with several pieces at once.
_LEAST_THREADS = 4


class ParallelIO(DirectIO):
    """Moves bytes on threads, too, while the caller computes; ``callers`` threads call at once."""

    def __init__(self, callers: int) -> None:
        super().__init__()
        self._threads = ThreadPoolExecutor(max(callers, _LEAST_THREADS), "kvtransfer-disk")

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()

    @contextmanager
    def writing(
        self, fd: int, part: memoryview, at_bytes: int, deadline_s: float
    ) -> Iterator[None]:
        """Write ``part`` as ``write`` does, on a thread, while the with statement's body runs."""
        with _all_done([self._threads.submit(self.write, fd, [part], at_bytes, deadline_s)]):
            yield

    @contextmanager
    def reading(
        self, fd: int, body: memoryview, last: memoryview, deadline_s: float
    ) -> Iterator[Iterator[tuple[int, memoryview]]]:
        """Fill ``body`` and then ``last`` from the file, in pieces.

        When the with statement's body begins, ``last`` is filled; it gets the pieces of ``body``,
        each as soon as it is filled, and their offsets.
        """
        *early, final = _pieces(body)
        reads = [
            self._threads.submit(self.read, fd, [piece], at_bytes, deadline_s)
            for at_bytes, piece in early
        ]
        with _all_done(reads):
            self.read(fd, [final[1], last], final[0], deadline_s)
            yield _as_filled(reads, [*early, final])


def _pieces(body: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the pieces of ``body`` and their offsets; an empty ``body`` is one empty piece."""
    for start in range(0, max(len(body), 1), _PIECE_BYTES):
        yield start, body[start : start + _PIECE_BYTES]


def _as_filled(
    reads: Sequence[Future[None]], pieces: Sequence[tuple[int, memoryview]]
) -> Iterator[tuple[int, memoryview]]:
    for read, piece in zip(reads, pieces, strict=False):
        read.result()
        yield piece
    yield pieces[-1]  # the caller has read it


@contextmanager
def _all_done(transfers: Sequence[Future[None]]) -> Iterator[None]:
    """Wait until no transfer touches the payload any more, even if the body raises."""
    try:
        yield
    finally:
        wait(transfers)
    for transfer in transfers:
        transfer.result()
