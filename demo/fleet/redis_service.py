"""Runs a Redis master, its replica and three Sentinels that replace the master when it fails."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from redis import Redis
from redis.exceptions import RedisError

from demo.fleet.child import ChildError, free_port
from kvtransfer.stores.embedded.address import LoopbackPort
from kvtransfer.stores.embedded.process import ServerProcess
from kvtransfer.stores.embedded.server import server_binary

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SERVICE = "fleet"
_SENTINELS = 3
_READY_S = 60
_POLL_S = 0.1


class _Server(NamedTuple):
    port: int
    process: ServerProcess


class RedisService:
    """Owns the five processes, which end with this one at the latest.

    Raises:
        ChildError: a server doesn't come up.
        KVTransferError: no Redis-compatible server is installed.
    """

    def __init__(self, folder: Path, max_mib: int) -> None:
        self._folder = folder / "redis"
        self._folder.mkdir(mode=0o700, exist_ok=True)  # Sentinels write the password there
        self._password = secrets.token_urlsafe(24)
        self._max_mib = max_mib
        self._processes: list[ServerProcess] = []
        self._sentinel_ports = [free_port() for _ in range(_SENTINELS)]
        try:
            self._master = self._server(free_port())
            self._server(free_port(), f"replicaof 127.0.0.1 {self._master.port}")
            for port in self._sentinel_ports:
                self._sentinel(port)
            self._wait_until(self._knows_replica)
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """What an engine gets as ``remote_url``."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self._sentinel_ports)
        return (
            f"redis-sentinel://:{self._password}@{hosts}/{SERVICE}"
            f"?sentinel_password={self._password}"
        )

    def kill_master(self) -> None:
        """Kill the master that there is at the start."""
        self._processes.remove(self._master.process)
        self._master.process.end()

    def wait_for_new_master(self) -> None:
        """Wait until the Sentinels name another one.

        Raises:
            ChildError: they don't, in time.
        """
        self._wait_until(lambda: self._master_port() != self._master.port)

    def close(self) -> None:
        """End all processes; again is harmless."""
        for process in self._processes:
            process.end()
        self._processes.clear()

    def __enter__(self) -> RedisService:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _server(self, port: int, *more: str) -> _Server:
        lines = (
            f"dir {self._folder}",
            f"requirepass {self._password}",
            f"masterauth {self._password}",
            f"maxmemory {self._max_mib}mb",
            "maxmemory-policy allkeys-lru",
            'save ""',
            "repl-diskless-sync-delay 0",
            "client-output-buffer-limit replica 512mb 256mb 60",
            *more,
        )
        process = ServerProcess(server_binary(), LoopbackPort(port), "\n".join((*lines, "")))
        return _Server(port, self._started(process))

    def _sentinel(self, port: int) -> None:
        config = self._folder / f"sentinel-{port}.conf"
        lines = (
            "bind 127.0.0.1",
            f"port {port}",
            f"dir {self._folder}",
            f"requirepass {self._password}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {self._master.port} 2",
            f"sentinel auth-pass {SERVICE} {self._password}",
            f"sentinel down-after-milliseconds {SERVICE} 1000",
            f"sentinel failover-timeout {SERVICE} 3000",
        )
        config.write_text("\n".join((*lines, "")))
        arguments = (str(config), "--sentinel")
        address = LoopbackPort(port)
        self._started(ServerProcess(server_binary(), address, "", arguments=arguments))

    def _started(self, process: ServerProcess) -> ServerProcess:
        self._processes.append(process)
        if not process.answers(self._password):
            process.end()
            raise ChildError(f"no Redis server on {process.address}: {process.last_words}")
        return process

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + _READY_S
        while not condition():
            if time.monotonic() > deadline_s:
                raise ChildError(f"the Sentinels have not agreed after {_READY_S} s")
            time.sleep(_POLL_S)

    def _knows_replica(self) -> bool:
        states = [self._state(port) for port in self._sentinel_ports]
        return all(
            (state.get("num-slaves"), state.get("num-other-sentinels")) == (1, _SENTINELS - 1)
            for state in states
        )

    def _master_port(self) -> int:
        return int(self._state(self._sentinel_ports[0]).get("port", self._master.port))

    def _state(self, sentinel_port: int) -> dict[str, Any]:
        """What a Sentinel says of the master; empty while it doesn't answer."""
        try:
            with Redis(port=sentinel_port, password=self._password, protocol=2) as client:
                return dict(client.sentinel_master(SERVICE))
        except RedisError:
            return {}
