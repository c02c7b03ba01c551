"""Moves one stretch of bytes between a file and registered memory, by NIXL."""

from __future__ import annotations

import errno
import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from kvtransfer.stores.nixl.library import nixl_errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    Operation = Literal["READ", "WRITE"]

_FIRST_PAUSE_S = 20e-6
_LONGEST_PAUSE_S = 250e-6


class TransferError(Exception):
    """NIXL could not move the bytes, and doesn't say why: a code of its own is all there is."""


class Transfer:
    """Bytes under way between ``memory`` and the file ``fd`` at ``at_bytes``; begun when it is made.

    ``memory`` is used until the transfer ``is_over``. The file may be closed before, since the
    transfer has a descriptor of its own. One thread at a time uses it.

    Args:
        agent: an agent of NIXL that has registered ``memory``.
        operation: ``READ`` fills ``memory``, ``WRITE`` the file.
        fd: the open file.
        memory: flat bytes.
        at_bytes: offset in the file.
    """

    def __init__(
        self,
        agent: Any,  # noqa: ANN401 - NIXL has no types
        operation: Operation,
        fd: int,
        memory: memoryview,
        at_bytes: int,
    ) -> None:
        self.operation = operation
        self.fd = fd
        self.memory = memory
        self.at_bytes = at_bytes
        self._agent = agent
        self._errors = nixl_errors()
        self._held = ExitStack()
        self._handle: object = None
        self._state = "PROC"
        self._cause = ""
        self._note(self._begin)

    def is_over(self) -> bool:
        """Ask NIXL whether the bytes have been moved, or could not be; then everything is freed."""
        if self._state == "PROC":
            self._note(lambda: self._agent.check_xfer_state(self._handle))
        return self._state != "PROC"

    def wait(self, deadline_s: float) -> None:
        """Return once the bytes have been moved.

        Raises:
            TimeoutError: they are still under way at ``deadline_s`` of ``time.monotonic``.
            TransferError: they could not be moved.
        """
        pause_s = _FIRST_PAUSE_S
        while not self.is_over():
            if time.monotonic() > deadline_s:
                raise TimeoutError(errno.ETIMEDOUT, "no answer in time")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        if self._state == "ERR":
            raise TransferError(self._cause)

    def _begin(self) -> str:
        fd = os.dup(self.fd)
        self._held.callback(os.close, fd)
        address = np.frombuffer(self.memory, np.uint8).ctypes.data
        nbytes = len(self.memory)
        file = self._agent.register_memory([(self.at_bytes, nbytes, fd, "")], "FILE")
        self._held.callback(self._agent.deregister_memory, file)
        self._handle = self._agent.initialize_xfer(
            self.operation,
            self._agent.get_xfer_descs([(address, nbytes, 0)], "DRAM"),
            self._agent.get_xfer_descs([(self.at_bytes, nbytes, fd)], "FILE"),
            self._agent.name,
        )
        self._held.callback(self._agent.release_xfer_handle, self._handle)
        return str(self._agent.transfer(self._handle))

    def _note(self, asked: Callable[[], str]) -> None:
        """Take the state that ``asked`` returns; free what is held once it is final."""
        try:
            self._state = asked()
        except self._errors as error:
            self._state, self._cause = "ERR", str(error)
        if self._state != "PROC":
            self._held.close()
