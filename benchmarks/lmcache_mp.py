"""Runs LMCache's multiprocess mode for the same restore from Redis as kvtransfer's.

Each transport has an LMCache server and a vLLM; all share one Redis. Before each restore the
server's own memory is cleared, so that the context comes from Redis.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from redis import Redis

from benchmarks.ttft_engines import CHUNK_TOKENS, NotAsPlanned, check, rest, wait_for_keys
from demo.engine import Job
from kvtransfer.stores.embedded.server import EmbeddedServer

if TYPE_CHECKING:
    from benchmarks.blend_prompts import Pair
    from benchmarks.ttft_engines import Place, Prompt
    from demo.engine import Answer

TRANSPORTS = SHM, PICKLE = "lmcache-shm", "lmcache-pickle"

_UP_S = 120.0
_ENVIRONMENT = {"LMCACHE_TRACK_USAGE": "false"}


@dataclass(frozen=True)
class Installed:
    """Where LMCache is: its server wants another torch than the vLLM that it serves."""

    python: str = sys.executable
    """Runs the server."""
    client: str = ""
    """Folder with what vLLM imports of it; empty: it is in vLLM's environment."""

    @property
    def environment(self) -> dict[str, str]:
        """Of the vLLM that it serves."""
        paths = [self.client, *filter(None, [os.environ.get("PYTHONPATH")])]
        return {**_ENVIRONMENT, **({"PYTHONPATH": os.pathsep.join(paths)} if self.client else {})}


def installed_here() -> Installed | None:
    return None if importlib.util.find_spec("lmcache") is None else Installed()


class Theirs:
    """A server and an engine for each transport; the one over shared memory saves for both."""

    def __init__(self, place: Place, redis_url: str, installed: Installed) -> None:
        self._redis = place.running.enter_context(Redis.from_url(redis_url))
        self._servers, self._engines = {}, {}
        for name in TRANSPORTS:
            server = Server(name, redis_url, place.logs, installed.python)
            place.running.callback(server.close)
            self._servers[name] = server
            config = _transfer_config(server.port)
            self._engines[name] = place.start(name, config, installed.environment)
        for engine in self._engines.values():
            engine.wait_until_up()

    def answers(self, prompt: Prompt) -> dict[str, Answer]:
        """One answer by each transport; no prompt twice."""
        keys = self._redis.dbsize() + prompt.context_tokens // CHUNK_TOKENS
        found = {"lmcache-cold+save": self._engines[SHM].answer(prompt.job)}
        wait_for_keys(self._redis, keys)
        for name, engine in self._engines.items():
            self._servers[name].clear()
            rest()
            found[name] = engine.answer(replace(prompt.job, forget_local=True))
            check(found[name], name, restored_tokens=prompt.context_tokens)
        return found


class Reordered:
    """A server with shared memory and an engine, asked about passages seen in another order."""

    def __init__(self, place: Place, installed: Installed) -> None:
        store = place.running.enter_context(EmbeddedServer(1 << 30))
        server = Server(SHM, store.url, place.logs, installed.python)
        place.running.callback(server.close)
        environment = {**installed.environment, "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
        self._engine = place.start(SHM, _transfer_config(server.port), environment)
        self._engine.wait_until_up()

    def answers(self, pair: Pair) -> dict[str, Answer]:
        """The answer to what is asked, from the server's memory as far as it finds it there."""
        self._engine.answer(Job(pair.seen_ids, answer_tokens=1, forget_local=True))
        rest()
        return {SHM: self._engine.answer(Job(pair.asked_ids, answer_tokens=1, forget_local=True))}


class Server:
    """``lmcache server`` for one transport, with ``redis_url`` as its second level."""

    def __init__(self, transport: str, redis_url: str, logs: Path, python: str) -> None:
        self.port, self._http_port = _free_port(), _free_port()
        self._segment = f"kvtransfer-bench-{os.getpid()}"
        self._log = logs / f"{transport}-server-{self.port}.log"
        options = {
            "--port": self.port,
            "--http-port": self._http_port,
            "--l1-size-gb": 1,
            "--eviction-policy": "LRU",
            "--supported-transfer-mode": "auto",
            "--l2-adapter": _adapter(redis_url),
            **({"--shm-name": self._segment} if transport == SHM else {}),
        }
        words = [str(word) for option in options.items() for word in option]
        with self._log.open("wb") as log:
            self._child = subprocess.Popen(
                # -P: a folder `kernels` on the path would be taken for the package of that name.
                [python, "-P", "-m", "lmcache.cli.main", "server", *words],
                env={**os.environ, **_ENVIRONMENT},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait_until_up()

    def clear(self) -> None:
        """Forget what its own memory holds."""
        self._ask("cache/clear", b"{}")

    def close(self) -> None:
        self._child.terminate()
        self._child.wait()
        Path("/dev/shm", self._segment).unlink(missing_ok=True)  # it leaves it behind

    def _wait_until_up(self) -> None:
        deadline_s = time.monotonic() + _UP_S
        while self._child.poll() is None and time.monotonic() < deadline_s:
            with suppress(urllib.error.URLError):
                self._ask("healthcheck")
                return
            time.sleep(0.2)
        self.close()
        words = self._log.read_text(errors="replace").splitlines()[-20:]
        raise NotAsPlanned("\n".join(["LMCache's server did not come up:", *words]))

    def _ask(self, path: str, body: bytes | None = None) -> None:
        request = urllib.request.Request(f"http://127.0.0.1:{self._http_port}/{path}", body)
        request.add_header("Content-Type", "application/json")
        urllib.request.urlopen(request, timeout=10).close()


def _transfer_config(port: int) -> dict[str, object]:
    return {
        "kv_connector": "LMCacheMPConnector",
        "kv_connector_module_path": "lmcache.integration.vllm.lmcache_mp_connector",
        "kv_role": "kv_both",
        "kv_load_failure_policy": "recompute",
        "kv_connector_extra_config": {
            "lmcache.mp.host": "tcp://127.0.0.1",
            "lmcache.mp.port": port,
        },
    }


def _adapter(redis_url: str) -> str:
    parts = urlsplit(redis_url)
    where = {"type": "resp", "host": parts.hostname, "port": parts.port}
    return json.dumps({**where, "password": unquote(parts.password or "")})


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
