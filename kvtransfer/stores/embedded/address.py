"""Where a server of our own on this machine listens."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST_PATH_BYTES = 107
"""The system's structure for a socket's address has no room for more."""


@dataclass(frozen=True)
class LoopbackPort:
    """Every user of the machine can connect, and take the port once the server has gone."""

    port: int

    def __str__(self) -> str:
        return f"port {self.port}"

    @property
    def config(self) -> str:
        """Lines of the server's configuration file."""
        return f"bind 127.0.0.1\nport {self.port}\n"

    def url(self, password: str) -> str:
        """For a store."""
        return f"redis://:{quote(password, safe='')}@127.0.0.1:{self.port}/0"

    def connect(self, timeout_s: float) -> socket.socket:
        """A connection to whoever listens there."""
        return socket.create_connection(("127.0.0.1", self.port), timeout_s)


@dataclass(frozen=True)
class SocketFile:
    """A unix socket; who may connect is who may enter its folder.

    Raises:
        ConfigError: the path is too long for a socket.
    """

    path: Path

    def __post_init__(self) -> None:
        if len(str(self.path).encode()) > _LONGEST_PATH_BYTES:
            raise ConfigError(
                f"{self.path} is too long for a unix socket, which may have {_LONGEST_PATH_BYTES} "
                "bytes: set XDG_RUNTIME_DIR to a shorter path"
            )

    def __str__(self) -> str:
        return str(self.path)

    @property
    def config(self) -> str:
        """Lines of the server's configuration file; without a port it has no TCP at all."""
        return f"port 0\nunixsocket {quoted(str(self.path))}\nunixsocketperm 700\n"

    def url(self, password: str) -> str:
        """For a store."""
        return f"unix://:{quote(password, safe='')}@{quote(str(self.path))}"

    def connect(self, timeout_s: float) -> socket.socket:
        """A connection to the server."""
        line = socket.socket(socket.AF_UNIX)
        try:
            line.settimeout(timeout_s)
            line.connect(str(self.path))
        except OSError:
            line.close()
            raise
        return line


Address = LoopbackPort | SocketFile


def quoted(text: str) -> str:
    """``text`` as a server's configuration file has it, whatever characters it holds."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in text.encode()) + '"'


def answers(address: Address, password: str) -> bool:
    """Whether a server is there that takes ``password``: ours, not another one's.

    Raises:
        OSError: nothing listens there, or it doesn't answer.
    """
    secret = password.encode()
    with address.connect(1.0) as line:
        line.sendall(b"*2\r\n$4\r\nAUTH\r\n$%d\r\n%b\r\n" % (len(secret), secret))
        return line.recv(5) == b"+OK\r\n"


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
