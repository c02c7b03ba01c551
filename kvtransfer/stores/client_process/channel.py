"""Makes calls to a client process: one at a time, over memory that both share."""

from __future__ import annotations

import json
import mmap
import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kvtransfer.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kvtransfer.stores.client_process.process import ClientProcess

_ANSWER_BYTES = 1 << 20


class LateError(StoreError):
    """A call wasn't answered in time."""


class Channel:
    """A socket to ``process`` and ``nbytes`` of memory; one thread at a time uses it.

    A call that isn't answered in time may still write into that memory. So the channel isn't used
    again, and the caller's own memory is never the client's to write.

    Raises:
        StoreError: the process has ended, or there is no such memory.
    """

    is_usable: bool
    """Whether the last call was answered."""

    def __init__(self, process: ClientProcess, nbytes: int) -> None:
        self.process = process
        """The process that serves it."""
        try:
            self._line, self._map = _shared_with(process, nbytes)
        except OSError as error:
            told = f"can't share {nbytes} bytes with its client: {error.strerror}"
            raise StoreError(told) from None
        self.memory = memoryview(self._map)
        """What both sides can read and write."""
        self.is_usable = True

    def call(
        self,
        name: str,
        names: Sequence[str],
        deadline_s: float,
        begins: Sequence[int] = (),
        sizes: Sequence[int] = (),
    ) -> list[int]:
        """Have a client of values execute ``name`` of ``ValueChannel``; see :meth:`ask`."""
        request = {"call": name, "names": names, "begins": begins, "sizes": sizes}
        codes: list[int] = self.ask(request, deadline_s)
        return codes

    def ask(self, request: Mapping[str, Any], deadline_s: float) -> Any:  # noqa: ANN401 - as JSON is
        """Have the client execute ``request``, and return its answer.

        ``deadline_s`` is a time of ``time.monotonic``.

        Raises:
            LateError: there is no answer by then.
            StoreError: the client has ended.
        """
        self.is_usable = False
        try:
            self._set_timeout(deadline_s)
            self._line.sendall(json.dumps(request).encode() + b"\n")
            answer = self._line_of_answer(deadline_s)
        except TimeoutError:
            raise LateError("no answer in time") from None
        except OSError:
            raise self.process.end_error() from None
        self.is_usable = True
        return json.loads(answer)

    def close(self) -> None:
        """Give up the socket and the memory; the client lets go of both when its call has ended."""
        self._line.close()
        self.memory.release()
        with suppress(BufferError):  # a view of a caller's is left; the memory goes with it
            self._map.close()

    def _line_of_answer(self, deadline_s: float) -> bytes:
        answer = b""
        while not answer.endswith(b"\n"):
            self._set_timeout(deadline_s)
            part = self._line.recv(_ANSWER_BYTES)
            if not part:
                raise ConnectionResetError
            answer += part
        return answer

    def _set_timeout(self, deadline_s: float) -> None:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._line.settimeout(left_s)


def _shared_with(process: ClientProcess, nbytes: int) -> tuple[socket.socket, mmap.mmap]:
    """Hand a new socket and new memory over to ``process``, and return our side of both."""
    memory_fd = os.memfd_create("kvtransfer-channel")
    try:
        os.ftruncate(memory_fd, nbytes)
        memory = mmap.mmap(memory_fd, nbytes)
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process.hand_over(theirs, memory_fd)
            except BaseException:
                ours.close()
                raise
    finally:
        os.close(memory_fd)
    return ours, memory
