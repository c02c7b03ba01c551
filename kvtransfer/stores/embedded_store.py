"""``embedded://``: chunks in a server of our own, shared by a user's processes on one machine.

Whoever comes first starts it and holds a lock meanwhile; the others find its URL in the locked file.
It ends with the one who started it: from then on the others' chunks are misses.
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from kvtransfer.errors import ConfigError, StoreError
from kvtransfer.stores.embedded import EmbeddedServer, server_binary
from kvtransfer.stores.redis import RedisStore

if TYPE_CHECKING:
    from kvtransfer.layout import ChunkFormat
    from kvtransfer.stores import StoreSettings

_DEFAULT_GIB = 5.0
_START_S = 10.0


class EmbeddedStore(RedisStore):
    """Payloads in the server that ``url``, ``embedded://`` or ``embedded://?max_gib=5``, stands for.

    The size is that of whoever comes first. See :class:`EmbeddedServer`.

    Raises:
        ConfigError: the URL is malformed, or the server isn't installed or doesn't come up.
    """

    def __init__(self, url: str, chunk: ChunkFormat, settings: StoreSettings) -> None:
        self._shared = SharedServer(_maxmemory_bytes(url))
        try:
            super().__init__(self._shared.url, chunk, settings)
        except BaseException:
            self._shared.close()
            raise

    def close(self) -> None:
        """See :class:`kvtransfer.stores.Store`; ends the server if this one has started it."""
        super().close()
        self._shared.close()


class SharedServer:
    """The server of this user on this machine: started here, or found where it runs."""

    def __init__(self, maxmemory_bytes: int) -> None:
        server_binary()  # refuses before anything is left on the machine
        self._server: EmbeddedServer | None = None
        self._file = open(_folder() / "embedded", "a+", encoding="utf-8", opener=_private)  # noqa: SIM115 - closed by ``close``
        try:
            self.url = self._join(maxmemory_bytes)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the server if it was started here; again is harmless."""
        if self._server is not None:
            self._file.truncate(0)
            self._server.close()
            self._server = None
        self._file.close()

    def _join(self, maxmemory_bytes: int) -> str:
        deadline_s = time.monotonic() + _START_S
        while time.monotonic() < deadline_s:
            with suppress(BlockingIOError):
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return self._start(maxmemory_bytes)
            self._file.seek(0)
            if _answers(url := self._file.read()):
                return url
            time.sleep(0.01)
        raise ConfigError(f"{self._file.name} is locked, but by nobody who runs a server")

    def _start(self, maxmemory_bytes: int) -> str:
        self._file.truncate(0)  # whoever was here before may have been killed
        try:
            self._server = EmbeddedServer(maxmemory_bytes)
        except StoreError as error:
            raise ConfigError(str(error)) from None
        self._file.write(self._server.url)
        self._file.flush()
        return self._server.url


def _answers(url: str) -> bool:
    """Whether there is a server, and not only what one has left that was killed."""
    if not url:
        return False
    try:
        with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), 1.0):
            return True
    except OSError:
        return False


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _folder() -> Path:
    """Where only this user can read and write; the URL has a password."""
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    folder = base / f"kvtransfer-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ConfigError(f"{folder} must belong to this user alone: remove it")
    return folder


def _maxmemory_bytes(url: str) -> int:
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    gib = options.pop("max_gib", _DEFAULT_GIB)
    try:
        maxmemory_bytes = int(float(gib) * 2**30)
    except (ValueError, OverflowError):
        maxmemory_bytes = 0
    if parts.netloc or parts.path or options or maxmemory_bytes < 1:
        raise ConfigError(
            "write embedded:// or, with the GiB that it may hold, embedded://?max_gib=5"
        )
    return maxmemory_bytes
