"""Starts a vLLM process that runs :mod:`demo.engine`, and asks it questions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.engine import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from demo.engine import Job, Setup

ENGINE = Path(__file__).with_name("engine.py")
QUIET = {
    "OMP_NUM_THREADS": "1",  # with two, decode spins at barriers on a busy machine
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
_LAST_LINES = 30
_LAST_WORDS_S = 10.0  # a process that fails closes its end first and logs the reason afterwards


class EngineError(Exception):
    """A vLLM process ended before it answered; the message holds the end of its log."""


class EngineProcess:
    """Owns a vLLM process with empty caches, from construction until ``close`` or ``kill``.

    Args:
        setup: how the engine is made.
        log: the file that gets vLLM's log.
        environment: variables to add to those of this process.
        script: what the process runs. Another one than :mod:`demo.engine` speaks the same lines,
            its questions and answers by :meth:`ask`.
    """

    def __init__(
        self, setup: Setup, log: Path, environment: Mapping[str, str], script: Path = ENGINE
    ) -> None:
        self._log = log
        read_end, write_end = os.pipe()
        with log.open("wb") as words:
            self._child = subprocess.Popen(
                # -P: a folder `kernels` on the path would be taken for the package of that name.
                [sys.executable, "-P", str(script), str(write_end)],
                env={**os.environ, **QUIET, **environment},
                stdin=subprocess.PIPE,
                stdout=words,
                stderr=subprocess.STDOUT,
                pass_fds=[write_end],
                text=True,
                start_new_session=True,  # a group of its own: vLLM may start more processes
            )
        os.close(write_end)  # else a dead child would not end the replies
        self._replies = os.fdopen(read_end)
        self._is_up = False
        self.pid = self._child.pid
        self._send(asdict(setup))

    def wait_until_up(self) -> None:
        """Wait until the process takes questions; may be called again.

        Raises:
            EngineError: the process ended instead.
        """
        if not self._is_up:
            self._receive()
            self._is_up = True

    def answer(self, job: Job) -> Answer:
        """Run ``job`` and wait for its answer.

        Raises:
            EngineError: the process ended instead.
        """
        return Answer(**self.ask(asdict(job)))

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send one line and wait for the reply to it.

        Raises:
            EngineError: the process ended instead.
        """
        self.wait_until_up()
        self._send(message)
        return self._receive()

    def hang_up(self) -> None:
        """Ask no more, so that the process flushes and ends by itself; may be called again."""
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):  # it ended with a line unread
            self._child.stdin.close()

    def close(self) -> None:
        """Wait until the process has flushed and ended; may be called again.

        Raises:
            EngineError: the process ended with an error.
        """
        self._end()
        if self._child.returncode != 0:
            raise EngineError(self._last_words())

    def kill(self) -> None:
        """Kill the process now; may be called again."""
        self._kill_group()
        self._end()

    def __enter__(self) -> EngineProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.kill()

    def _send(self, message: dict[str, Any]) -> None:
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):  # it has ended; the reply that doesn't come says so
            print(json.dumps(message), file=self._child.stdin, flush=True)

    def _receive(self) -> dict[str, Any]:
        reply = self._replies.readline()
        if not reply:
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(_LAST_WORDS_S)
            raise EngineError(self._last_words())
        return dict(json.loads(reply))

    def _end(self) -> None:
        self.hang_up()
        self._child.wait()
        self._kill_group()  # what it has left behind, should it have been killed
        self._replies.close()

    def _kill_group(self) -> None:
        if not self._replies.closed:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        return "\n".join(["vLLM ended before it answered; the end of its log:", *lines])
