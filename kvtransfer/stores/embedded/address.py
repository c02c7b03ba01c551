"""Defines where our server on this machine listens: a port of loopback, or a unix socket."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST_PATH_BYTES = 107
"""The operating system allows no longer path for a socket."""


@dataclass(frozen=True)
class LoopbackPort:
    """A port of loopback: any user can connect, and can take the port once the server has ended."""

    port: int

    def __str__(self) -> str:
        return f"port {self.port}"

    @property
    def config(self) -> str:
        """The lines of the server's configuration file for this address."""
        return f"bind 127.0.0.1\nport {self.port}\n"

    def url(self, password: str) -> str:
        """Return the URL of a store on this server."""
        return f"redis://:{quote(password, safe='')}@127.0.0.1:{self.port}/0"

    def connect(self, timeout_s: float) -> socket.socket:
        """Connect to the process that listens there.

        Raises:
            OSError: no process listens there.
        """
        return socket.create_connection(("127.0.0.1", self.port), timeout_s)


@dataclass(frozen=True)
class SocketFile:
    """A unix socket at ``path``: users can connect if they can enter its folder.

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
        """The lines of the server's configuration file for this address; port 0 means no TCP."""
        return f"port 0\nunixsocket {quoted(str(self.path))}\nunixsocketperm 700\n"

    def url(self, password: str) -> str:
        """Return the URL of a store on this server."""
        return f"unix://:{quote(password, safe='')}@{quote(str(self.path))}"

    def connect(self, timeout_s: float) -> socket.socket:
        """Connect to the server.

        Raises:
            OSError: no process listens there.
        """
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(timeout_s)
            connection.connect(str(self.path))
        except OSError:
            connection.close()
            raise
        return connection


Address = LoopbackPort | SocketFile


def quoted(text: str) -> str:
    """Quote ``text``, with any characters, for a server's configuration file."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in text.encode()) + '"'


def answers(address: Address, password: str) -> bool:
    """Whether the server at ``address`` takes ``password``, and so is ours.

    Raises:
        OSError: no process listens there, or it doesn't answer.
    """
    secret = password.encode()
    with address.connect(1.0) as connection:
        connection.sendall(b"*2\r\n$4\r\nAUTH\r\n$%d\r\n%b\r\n" % (len(secret), secret))
        return connection.recv(5) == b"+OK\r\n"


def free_port() -> int:
    """Find a port of loopback on which no process listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
