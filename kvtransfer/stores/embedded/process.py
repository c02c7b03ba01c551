"""Runs a Redis-compatible server as a child process, which ends with this one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from typing import IO, TYPE_CHECKING

from kvtransfer.errors import StoreError
from kvtransfer.stores.embedded.address import LoopbackPort, answers, free_port

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from kvtransfer.stores.embedded.address import Address

_START_S = 10.0
_ATTEMPTS = 5

# This program becomes the server, so pid and stdin stay. The kernel kills it with its parent (1 is
# PR_SET_PDEATHSIG). libc's malloc keeps large freed values, as returning each to the kernel costs
# the server 0.5 s of CPU for a GB written.
_LAUNCH = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the process that started this is gone")
os.putenv("MALLOC_MMAP_THRESHOLD_", "1073741824")
os.putenv("MALLOC_TRIM_THRESHOLD_", "8589934592")
os.execv(sys.argv[2], sys.argv[2:])
"""


def start_server(
    binary: Path, addresses: Iterable[Address], password: str, config: str
) -> ServerProcess:
    """Start a server at the first of ``addresses`` that is free, and wait until it answers.

    ``config`` is the text of its configuration file, without the address; it has to require
    ``password``.

    Raises:
        StoreError: the server doesn't come up; the message ends with the end of its log.
    """
    for address in addresses:
        # The server needs a working directory to start, but writes no files there.
        with tempfile.TemporaryDirectory(prefix="kvtransfer-") as directory:
            process = ServerProcess(binary, address, f"dir {directory}\n{config}")
            if process.answers(password):
                return process
        process.end()
    raise StoreError(f"no embedded server on {process.address}: {process.last_words}")


def free_ports() -> Iterator[LoopbackPort]:
    """Yield several free ports, as another process may take one before the server does."""
    return (LoopbackPort(free_port()) for _ in range(_ATTEMPTS))


class ServerProcess:
    """One run of the server ``binary``; owns the process, a thread and the log until ``end``.

    ``config`` is written to its stdin, which the default ``arguments`` make it read.
    """

    def __init__(
        self, binary: Path, address: Address, config: str, *, arguments: Sequence[str] = ("-",)
    ) -> None:
        self.address = address
        self.last_words = ""
        """The end of its log, once it has ended."""
        self._owner_pid = os.getpid()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by ``end``
        launch = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(self._owner_pid)]
        launched: Future[subprocess.Popen[bytes]] = Future()
        self._keeper = Thread(
            target=_launch_and_stay,
            args=([*launch, str(binary), *arguments], self._log, launched),
            name="kvtransfer-embedded",
            daemon=True,
        )
        self._keeper.start()
        self._child = launched.result()
        self.pid = self._child.pid
        self._configure(f"{address.config}{config}")

    def answers(self, password: str) -> bool:
        """Wait until the server takes ``password``; False if it ended or was not in time."""
        deadline_s = time.monotonic() + _START_S
        while self._child.poll() is None and time.monotonic() < deadline_s:
            with suppress(OSError):
                if answers(self.address, password):
                    return True
            time.sleep(0.01)
        return False

    def end(self) -> None:
        """Kill the server; what it cached is lost."""
        if os.getpid() != self._owner_pid:
            return  # a fork of the owner ends, not the owner
        self._child.kill()
        self._keeper.join()
        with self._log as log:
            log.seek(0)
            said = log.read().decode(errors="replace").splitlines()
        self.last_words = "; ".join([line for line in said if line][-2:])

    def _configure(self, config: str) -> None:
        # Through stdin, as other users can read a command line, and so the password.
        assert self._child.stdin is not None
        with suppress(BrokenPipeError), self._child.stdin as stdin:
            stdin.write(config.encode())


def _launch_and_stay(
    command: list[str], log: IO[bytes], launched: Future[subprocess.Popen[bytes]]
) -> None:
    """Start ``command`` and wait for its end, as the kernel counts the *thread* as its parent."""
    try:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, process_group=0
        )
    except OSError as error:
        launched.set_exception(error)
        return
    launched.set_result(child)
    child.wait()
