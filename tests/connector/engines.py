"""The near end: engines to start, ask and end, each with a log that is shown when it fails."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeVar

from tests.connector.engine_process import Outcome, Request, Setup
from tests.connector.models.groups import Caches
from tests.connector.vllm_variants import V1

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.connector.vllm_variants import Variant

ROOT = Path(__file__).resolve().parents[2]
REPLY_S = 260
"""Longer than the far end allows itself, so that its stacks are in the log first."""
_LOG_LINES = 60


class Killable(Protocol):
    """A process that can be ended."""

    def kill(self) -> None: ...


T = TypeVar("T", bound=Killable)


class EngineError(Exception):
    """An engine ended instead of answering; the message holds its reason and its log's end."""

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log
        """All of it."""


class Engine:
    """One vLLM in a process of its own, which ends with ``close`` or ``kill``.

    Raises:
        EngineError: from the constructor and every method, when the process ends unasked.
    """

    def __init__(self, setup: Setup, connection: socket.socket, log: Path, pid: int) -> None:
        self._log = log
        self.pid = pid
        self._connection = connection
        self._connection.settimeout(REPLY_S)
        self._lines = connection.makefile("rw")
        try:
            self._ask(asdict(setup))
        except BaseException:
            self.kill()
            raise

    def generate(self, *requests: Request) -> Outcome:
        """Answer ``requests``, submitted together."""
        self.submit(*requests)
        return self.run()

    def answer(self, *requests: Request) -> Outcome:
        """Answer them as ``LLM.generate`` does, which runs no step after the last answer."""
        self.submit(*requests)
        return Outcome(**self._do("answer"))

    def submit(self, *requests: Request) -> list[str]:
        """Queue ``requests`` without running them; returns their names."""
        return list(self._do("submit", requests=[asdict(request) for request in requests]))

    def step(self) -> dict[str, str]:
        """Run one step; the state of each unfinished request by name, in vLLM's words."""
        return dict(self._do("step"))

    def run(self) -> Outcome:
        """Run everything submitted to its end."""
        return Outcome(**self._do("run"))

    def abort(self, *names: str) -> None:
        """Drop requests in whatever state."""
        self._do("abort", names=names)

    def reset(self, *, connector: bool = False, running: bool = False) -> bool:
        """Empty vLLM's prefix cache; False when a block of it is in use.

        Args:
            connector: tell the connector too.
            running: preempt what is running, so that it goes on with nothing cached.
        """
        return bool(self._do("reset", connector=connector, running=running))

    def call(self, method: str, **arguments: Any) -> Any:
        """Have every worker do something, by vLLM's ``collective_rpc``; what the first returns."""
        return self._do("call", method=method, **arguments)

    def block_ids(self, name: str) -> list[int]:
        """The blocks of an unfinished request in the first cache group, in token order."""
        return list(self._do("block_ids", name=name))

    def load_embedding(self, folder: str) -> None:
        """Load the embedding of the model in ``folder``, as a trainer in the same process does."""
        self._do("load_embedding", folder=folder)

    def add_adapter(self, adapter: dict[str, Any]) -> bool:
        """Have vLLM load a LoRA adapter now; the arguments of its ``LoRARequest``."""
        return bool(self._do("add_adapter", adapter=adapter))

    def remove_adapter(self, lora_int_id: int) -> bool:
        """Have vLLM let go of a LoRA adapter."""
        return bool(self._do("remove_adapter", lora_int_id=lora_int_id))

    def sleep(self, level: int = 1) -> None:
        """Drop what runs and sleep until ``wake_up``."""
        self._do("sleep", level=level)

    def wake_up(self) -> None:
        """Go on."""
        self._do("wake_up")

    def lose_caches(self) -> None:
        """While it sleeps: the caches' memory is taken away, and comes back empty."""
        self._do("lose_caches")

    def counted(self) -> dict[str, float]:
        """What our own counters have come to, by name without prefix."""
        return dict(self._do("counted"))

    def seen(self) -> set[str]:
        """Our metrics that were not at zero at some time."""
        return set(self._do("seen"))

    def metric(self, name: str) -> float:
        """What a counter of vLLM's own has come to."""
        return float(self._do("metric", name=name))

    def version(self) -> str:
        """Of vLLM."""
        return str(self._do("version"))

    def runner(self) -> list[str]:
        """The class of its model runner, and those that it is derived from."""
        return list(self._do("runner"))

    def caches(self) -> Caches:
        """How vLLM keeps the caches of its model."""
        return Caches.of(**self._do("caches"))

    def share_hashes(self, *, share: bool) -> None:
        """Have the connector leave out what keeps blended blocks from being found, or not."""
        self._do("share_hashes", share=share)

    def lose_chunk(self, number: int) -> None:
        """Take chunk ``number`` of what was saved last from host memory."""
        self._do("lose_chunk", number=number)

    def spoil_chunk(self, number: int, first_token: int, tokens: int) -> None:
        """Put noise into tokens of chunk ``number`` of what was saved last, in host memory."""
        self._do("spoil_chunk", number=number, first_token=first_token, tokens=tokens)

    def close(self) -> None:
        """End it in good order; again is harmless."""
        if not self._lines.closed:
            self._do("close")
            self._hang_up()

    def kill(self) -> None:
        """End it at once; again is harmless."""
        if self._lines.closed:
            return
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._hang_up()

    def log(self) -> str:
        """What it has written so far, vLLM's words and ours."""
        return self._log.read_text(errors="replace")

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None:
            self.close()
        else:
            self.kill()

    def _do(self, name: str, /, **arguments: Any) -> Any:
        return self._ask({"do": name, "with": arguments})

    def _ask(self, message: dict[str, Any]) -> Any:
        try:
            print(json.dumps(message), file=self._lines, flush=True)
            answer = json.loads(self._lines.readline() or '{"error": "it ended without a word"}')
        except OSError as error:
            answer = {"error": f"no answer: {error}"}
        if "error" in answer:
            raise EngineError(f"{answer['error']}\n{last_lines(self._log)}", self.log())
        return answer["reply"]

    def _hang_up(self) -> None:
        with suppress(OSError):  # a line may be left that the engine no longer reads
            self._lines.close()
        self._connection.close()


class Engines:
    """Starts engines, by a fork of a process that has imported vLLM, or from nothing.

    Owns that process, those started from nothing, and a log of each in ``folder``. All run the
    ``variant`` of vLLM.
    """

    def __init__(self, folder: Path, variant: Variant = V1) -> None:
        self._folder = folder
        self.variant = variant
        self._count = 0
        self._children: list[subprocess.Popen[bytes]] = []
        self._turn = Lock()
        self._control, far = socket.socketpair()
        with far, (folder / "fork-server.log").open("wb") as log:
            in_process = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
            self._spawn("fork_server", far, log, in_process)
        self._control.settimeout(REPLY_S)
        self._answer()

    def start(self, setup: Setup, environment: Mapping[str, str] | None = None) -> Engine:
        """An engine in a forked process, with the scheduler and, unless there are two, the worker."""
        near, far = socket.socketpair()
        path = self._next_log()
        with far, path.open("wb") as log:
            message = json.dumps(dict(environment or {})).encode()
            with self._turn:
                socket.send_fds(self._control, [message], [far.fileno(), log.fileno()])
                pid = int(self._answer())
        return Engine(setup, near, path, pid)

    def start_afresh(self, setup: Setup, environment: Mapping[str, str]) -> Engine:
        """An engine in a new interpreter, for what is settled when one starts."""
        near, far = socket.socketpair()
        path = self._next_log()
        with far, path.open("wb") as log:
            child = self._spawn("engine_process", far, log, environment)
        return Engine(setup, near, path, child.pid)

    def close(self) -> None:
        """End every process that is left."""
        self._control.close()
        for child in self._children:
            try:
                child.wait(timeout=20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def _spawn(
        self, module: str, far: socket.socket, log: IO[bytes], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-m", f"tests.connector.{module}", str(far.fileno())],
            cwd=ROOT,
            env={**os.environ, **self.variant.environment(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=[far.fileno()],
        )
        self._children.append(child)
        return child

    def _next_log(self) -> Path:
        self._count += 1
        return self._folder / f"engine-{self._count}.log"

    def _answer(self) -> str:
        answer = self._control.recv(64).decode()
        if not answer:
            raise EngineError(
                f"the fork server ended\n{last_lines(self._folder / 'fork-server.log')}"
            )
        return answer


def start_together(*starts: Callable[[], T]) -> list[T]:
    """What ``starts`` return, run side by side; should one fail, the others are killed."""
    with ThreadPoolExecutor(len(starts)) as pool:
        futures = [pool.submit(start) for start in starts]
    failures = [error for future in futures if (error := future.exception())]
    if failures:
        for future in futures:
            if future.exception() is None:
                future.result().kill()
        raise failures[0]
    return [future.result() for future in futures]


def last_lines(log: Path) -> str:
    """The end of a log, under a heading."""
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join([f"--- the end of {log.name}:", *lines[-_LOG_LINES:]])
