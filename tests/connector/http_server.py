"""``vllm serve`` as a user would run it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from tests.connector.engines import EngineError, last_lines
from tests.connector.vllm_variants import V1

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.connector.engine_process import Setup
    from tests.connector.vllm_variants import Variant

START_S = 200
END_S = 60


class HttpServer:
    """A server that answers on loopback, from construction to ``close``.

    Raises:
        EngineError: it doesn't come up, or doesn't end when told to; with the end of its log.
    """

    def __init__(
        self,
        setup: Setup,
        log: Path,
        variant: Variant = V1,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._log = log
        self._port = _free_port()
        with log.open("wb") as words:
            self._process = subprocess.Popen(
                [Path(sys.executable).with_name("vllm"), "serve", *_arguments(setup, self._port)],
                env={
                    **os.environ,
                    **variant.environment(),
                    **(environment or {}),
                    "VLLM_ENABLE_V1_MULTIPROCESSING": "1",
                    "VLLM_SERVER_DEV_MODE": "1",  # it lets us empty the prefix cache
                },
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._await_health()
        except BaseException:
            self.kill()
            raise

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """Of its OpenAI-compatible part."""
        return f"http://127.0.0.1:{self._port}/v1"

    def metrics(self) -> str:
        """All of ``/metrics``."""
        with urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=60) as reply:
            return str(reply.read(), "utf-8")

    def metric(self, name: str) -> float:
        """The sum over the labels of a counter in ``/metrics``."""
        lines = self.metrics().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.split("{")[0] == name)

    def reset(self) -> None:
        """Empty vLLM's own prefix cache, once no request uses it."""
        deadline_s = time.monotonic() + END_S
        ask = Request(f"http://127.0.0.1:{self._port}/reset_prefix_cache", method="POST")
        while True:
            with urlopen(ask, timeout=60) as reply:
                if json.load(reply)["success"]:
                    return
            assert time.monotonic() < deadline_s, "a block of the prefix cache is still in use"
            time.sleep(0.1)

    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace")

    def close(self) -> None:
        """Ask it to end, as an operator does, and wait for that; again is harmless."""
        self._process.terminate()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise EngineError(f"it did not end\n{last_lines(self._log)}") from None

    def kill(self) -> None:
        """End it and the processes it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> HttpServer:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None:
            self.close()
        else:
            self.kill()

    def _await_health(self) -> None:
        deadline_s = time.monotonic() + START_S
        while not self._is_healthy():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise EngineError(f"vllm serve did not come up\n{last_lines(self._log)}")
            time.sleep(0.2)

    def _is_healthy(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self._port}/health", timeout=10) as reply:
                return bool(reply.status == 200)
        except (URLError, OSError):
            return False


def _arguments(setup: Setup, port: int) -> list[str]:
    named = {
        "host": "127.0.0.1",
        "port": port,
        "served-model-name": "tiny",
        "dtype": "float32",
        "block-size": 32,
        "max-model-len": 2048,
        "max-num-seqs": 4,
        "kv-cache-memory-bytes": 16 << 20,
        "kv-transfer-config": json.dumps(setup.transfer),
        **{name.replace("_", "-"): value for name, value in setup.options.items()},
    }
    flags = [f"--{name}" for name, value in named.items() if value is True]
    pairs = [
        part
        for name, value in named.items()
        if value is not True
        for part in (f"--{name}", str(value))
    ]
    return [setup.model, "--enforce-eager", *flags, *pairs]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
