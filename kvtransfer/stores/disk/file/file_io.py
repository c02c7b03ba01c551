"""Defines what moves bytes between the file of an entry and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager


class FileIO(Protocol):
    """Moves bytes between memory and open files; safe to call from several threads.

    Every call raises ``TimeoutError`` where ``deadline_s`` of ``time.monotonic`` has passed before
    it began, and ``OSError`` for an error of the disk. Memory is used during the call only, or
    until the body of a with statement has ended.
    """

    def read(self, fd: int, parts: Sequence[memoryview], at_bytes: int, deadline_s: float) -> None:
        """Fill ``parts`` one after the other with the file's bytes from offset ``at_bytes`` on.

        Raises:
            ShortFileError: the file ends before ``parts`` are full.
        """
        ...

    def write(self, fd: int, parts: Sequence[memoryview], at_bytes: int, deadline_s: float) -> None:
        """Write ``parts`` one after the other from offset ``at_bytes`` of the file on.

        Raises:
            ShortFileError: the disk had no room for all of them.
        """
        ...

    def writing(
        self, fd: int, part: memoryview, at_bytes: int, deadline_s: float
    ) -> AbstractContextManager[None]:
        """Write ``part`` as ``write`` does while the with statement's body runs."""
        ...

    def reading(
        self, fd: int, body: memoryview, last: memoryview, deadline_s: float
    ) -> AbstractContextManager[Iterator[tuple[int, memoryview]]]:
        """Fill ``body`` and then ``last`` from the file, in pieces.

        When the with statement's body begins, ``last`` is filled; it gets the pieces of ``body``,
        each as soon as it is filled, and their offsets.
        """
        ...

    def close(self) -> None:
        """Free what is held; no other call may be running or follow."""
        ...
