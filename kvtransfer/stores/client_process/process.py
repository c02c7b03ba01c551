"""Starts and ends the process in which another maker's client runs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kvtransfer.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

_END_S = 5.0
_WORDS_BYTES = 1 << 16


class JoinError(StoreError):
    """The client can't join its store; the text is the reason that it told."""


class ClientProcess:
    """One run of a program of ``kvtransfer.client_programs``, which ends when this object is closed.

    It ends with this process too, as its standard input then does. It doesn't wait for the client
    to join its store: channels may be handed over at once.

    Args:
        program: the name of the module.
        settings: what the client is told, as JSON and not on a command line that others can read.
        environment: variables for it; those of this process win.

    Raises:
        StoreError: the process can't be started.
    """

    def __init__(
        self, program: str, settings: Mapping[str, Any], environment: Mapping[str, str]
    ) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        try:
            with theirs:
                self._child = _started(program, theirs, environment)
        except OSError as error:
            self._control.close()
            raise StoreError(f"can't start its client: {error.strerror}") from None
        self.pid = self._child.pid
        self._last_words = ""
        with suppress(OSError):  # it has ended; so says the first call
            self._control.send(json.dumps(settings).encode())

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone, or about to be: its sockets are closed before it is."""
        if self._child.poll() is not None:
            return True
        try:
            return not self._control.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def end_error(self) -> StoreError:
        """Make the error for a call that the process has ended under, with its reason if it told one."""
        for _ in range(2):  # a reset may be told before what was said
            with suppress(OSError):
                self._last_words = self._last_words or self._control.recv(_WORDS_BYTES).decode()
        if self._last_words:
            return JoinError(self._last_words)
        return StoreError("its client has ended")

    def hand_over(self, line: socket.socket, memory_fd: int) -> None:
        """Let the process serve a channel over ``line`` and the memory of ``memory_fd``.

        Raises:
            StoreError: it has ended, or takes no more.
        """
        try:
            socket.send_fds(self._control, [b"c"], [line.fileno(), memory_fd])
        except BlockingIOError:
            raise StoreError("its client takes no calls") from None
        except OSError:
            raise self.end_error() from None

    def close(self) -> None:
        """Let the client leave its store, and kill it where that takes too long."""
        self._control.close()
        try:
            self._child.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def _started(
    program: str, control: socket.socket, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", f"kvtransfer.client_programs.{program}"],
        stdin=control.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # It imports what this process could import.
        env={**environment, **os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        process_group=0,
    )
