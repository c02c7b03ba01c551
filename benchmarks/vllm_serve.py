"""Starts ``vllm serve`` as it is deployed, on a free port, and reads its counters."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.error import URLError
from urllib.request import Request, urlopen

from prometheus_client.parser import text_string_to_metric_families

from demo.process import QUIET, EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MODEL_NAME = "model"
PROMPT_TOKENS = "vllm:prompt_tokens_total"
LOCAL_TOKENS = "vllm:prefix_cache_hits_total"
RESTORED_TOKENS = "vllm:external_prefix_cache_hits_total"
GAP_TOKENS = "kvtransfer:gap_tokens_total"

_START_S, _END_S = 300, 60
_LAST_LINES = 100  # the root cause comes first, and vLLM's processes tell it in turn


@dataclass(frozen=True)
class Settings:
    """Says how a server is started; the rest is vLLM's default."""

    model: Path
    kv_cache_bytes: int
    longest_tokens: int
    """Prompt and answer; the KV cache must have room for it."""
    options: Sequence[str] = ()
    transfer: Mapping[str, object] | None = None
    """The ``kv_transfer_config``; None is plain vLLM."""
    redis_url: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Variables beside this process's own."""
        url = {} if self.redis_url is None else {"KVTRANSFER_REMOTE_URL": self.redis_url}
        return {**QUIET, **url, "VLLM_SERVER_DEV_MODE": "1"}  # it lets us empty the prefix cache

    def arguments(self, port: int) -> list[str]:
        """Of ``vllm serve``."""
        named = {
            "host": "127.0.0.1",
            "port": port,
            "served-model-name": MODEL_NAME,
            "dtype": "float32",
            "max-model-len": self.longest_tokens,
            "kv-cache-memory-bytes": self.kv_cache_bytes,
        }
        if self.transfer is not None:
            named["kv-transfer-config"] = json.dumps(self.transfer)
        pairs = [part for name, value in named.items() for part in (f"--{name}", str(value))]
        return [str(self.model), "--enforce-eager", *pairs, *self.options]


class Command(Protocol):
    """Arguments and environment of a ``vllm serve``."""

    @property
    def environment(self) -> Mapping[str, str]: ...

    def arguments(self, port: int) -> list[str]: ...


class VllmServe:
    """Owns a server that starts at construction and ends at ``close``.

    Raises:
        EngineError: it doesn't come up, or doesn't end when told to.
    """

    def __init__(self, command: Command, log: Path) -> None:
        self._log = log
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        with log.open("wb") as words:
            self._process = subprocess.Popen(
                [Path(sys.executable).with_name("vllm"), "serve", *command.arguments(port)],
                env={**os.environ, **command.environment},
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_up(self) -> None:
        deadline_s = time.monotonic() + _START_S
        while not self._is_healthy():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise EngineError(
                    f"vllm serve did not come up; its log ends:\n{self._last_words()}"
                )
            time.sleep(0.5)

    def metrics(self) -> str:
        """Return all its counters, in Prometheus' text format."""
        with urlopen(f"{self.url}/metrics", timeout=60) as reply:
            return reply.read().decode()

    def counted(self, name: str) -> int:
        """The sum of a counter over its labels."""
        families = text_string_to_metric_families(self.metrics())
        samples = (sample for family in families for sample in family.samples)
        return int(sum(sample.value for sample in samples if sample.name == name))

    def forget_local(self) -> None:
        """Empty vLLM's own prefix cache, once what is running or was aborted has ended."""
        deadline_s = time.monotonic() + _END_S
        while not self._reset():
            if time.monotonic() > deadline_s:
                raise EngineError("vLLM's prefix cache was not emptied: a block is still in use")
            time.sleep(0.1)

    def close(self) -> None:
        """Ask it to end, and wait for that; again is harmless."""
        self._process.terminate()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            raise EngineError(
                f"vllm serve did not end; its log ends:\n{self._last_words()}"
            ) from None
        finally:
            self._kill_group()

    def __enter__(self) -> VllmServe:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.close()
        else:
            self._kill_group()

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _reset(self) -> bool:
        request = Request(f"{self.url}/reset_prefix_cache", method="POST")
        with urlopen(request, timeout=_END_S) as reply:
            return bool(json.load(reply)["success"])

    def _is_healthy(self) -> bool:
        try:
            with urlopen(f"{self.url}/health", timeout=10) as reply:
                return reply.status == 200
        except (URLError, OSError):
            return False

    def _last_words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_LAST_LINES:])


def free_port() -> int:
    """Find a port on loopback that no process listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
