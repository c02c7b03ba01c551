"""Runs one server of the fleet as a child process with a log of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_POLL_S = 0.2
_END_S = 60
_LAST_LINES = 30


class ChildError(Exception):
    """A server did not come up, or ended by itself; the message holds the end of its log."""


class Child:
    """Owns a process that serves HTTP on loopback, from construction until ``close`` or ``kill``.

    Args:
        name: what messages call it.
        arguments: the program and its arguments.
        health_url: answers with status 200 as soon as the server is up.
        log: the file that gets what it writes; a later run adds to it.
        environment: variables to add to those of this process.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        health_url: str,
        log: Path,
        environment: Mapping[str, str],
    ) -> None:
        self._name = name
        self._health_url = health_url
        self._log = log
        with log.open("ab") as words:
            self._process = subprocess.Popen(
                arguments,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a group of its own: vLLM starts more processes
            )

    def is_up(self) -> bool:
        """Whether the server answers now.

        Raises:
            ChildError: its process has ended.
        """
        if self._process.poll() is not None:
            raise ChildError(f"{self._name} ended; its log ends:\n{self._last_words()}")
        try:
            with urlopen(self._health_url, timeout=10) as reply:
                return bool(reply.status == 200)
        except (URLError, OSError):
            return False

    def wait_until_up(self, timeout_s: float) -> None:
        """Wait until the server answers.

        Raises:
            ChildError: it ended, or didn't answer in time.
        """
        deadline_s = time.monotonic() + timeout_s
        while not self.is_up():
            if time.monotonic() > deadline_s:
                raise ChildError(f"{self._name} is not up after {timeout_s:.0f} s")
            time.sleep(_POLL_S)

    def kill(self) -> None:
        """Kill the process and those that it has started, as a machine that fails does."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """Ask the process to end, and kill what is left a minute later."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        self.kill()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_LAST_LINES:])


def free_port() -> int:
    """Find a port on loopback that no process listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
