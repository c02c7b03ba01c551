"""Keeps entries in a server of our own, which a user's processes on one machine share.

The first process starts the server and holds a lock; the others read its password from the locked
file. The server ends with the process that started it; then the chunks of all are misses.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from kvtransfer.errors import ConfigError, StoreError
from kvtransfer.stores.embedded.address import SocketFile, answers
from kvtransfer.stores.embedded.process_lock import ProcessLock, private_folder
from kvtransfer.stores.embedded.server import EmbeddedServer, server_binary
from kvtransfer.stores.redis.feed import RedisFeed
from kvtransfer.stores.redis.ledger import RedisLedger
from kvtransfer.stores.redis.store import RedisStore, servers_of
from kvtransfer.stores.redis.url import read_url

if TYPE_CHECKING:
    from kvtransfer.stores.feeds.interface import Feed
    from kvtransfer.stores.ledgers.interface import Ledger
    from kvtransfer.stores.settings import StoreSettings

_DEFAULT_GIB = 5.0
_START_S = 10.0


class EmbeddedStore(RedisStore):
    """Keeps entries in the server of ``embedded://`` or ``embedded://?max_gib=5``.

    The process that starts the server sets its size. See :class:`EmbeddedServer`.

    Raises:
        ConfigError: the URL is malformed, or the server isn't installed or doesn't come up.
    """

    @classmethod
    def check(cls, url: str, settings: StoreSettings) -> None:
        """See :class:`kvtransfer.stores.interface.Store`."""
        read_embedded_url(url)
        server_binary()

    @classmethod
    def open_feed(cls, url: str, settings: StoreSettings) -> Feed:
        """See :class:`kvtransfer.stores.interface.Store`."""
        return EmbeddedFeed(url, settings)

    @classmethod
    def open_ledger(cls, url: str, settings: StoreSettings) -> Ledger:
        """See :class:`kvtransfer.stores.interface.Store`."""
        return EmbeddedLedger(url, settings)

    def __init__(self, url: str, settings: StoreSettings) -> None:
        self._shared = SharedServer(read_embedded_url(url))
        try:
            super().__init__(self._shared.url, settings)
        except BaseException:
            self._shared.close()
            raise

    def close(self) -> None:
        """See :class:`kvtransfer.stores.interface.Store`; ends the server if this process started it."""
        super().close()
        self._shared.close()


class EmbeddedFeed(RedisFeed):
    """Keeps feeds in the server of ``url``; raises as :class:`EmbeddedStore` does."""

    def __init__(self, url: str, settings: StoreSettings) -> None:
        self._shared = SharedServer(read_embedded_url(url))
        super().__init__(servers_of(read_url(self._shared.url, settings)), settings.ttl_s)

    def close(self) -> None:
        """See :class:`EmbeddedStore`."""
        super().close()
        self._shared.close()


class EmbeddedLedger(RedisLedger):
    """Keeps ledgers in the server of ``url``; raises as :class:`EmbeddedStore` does."""

    def __init__(self, url: str, settings: StoreSettings) -> None:
        self._shared = SharedServer(read_embedded_url(url))
        super().__init__(servers_of(read_url(self._shared.url, settings)))

    def close(self) -> None:
        """See :class:`EmbeddedStore`."""
        super().close()
        self._shared.close()


class SharedServer:
    """The one server of this user on this machine, started here or by another process.

    It listens on a socket in a folder that only this user can enter. A port could be taken by
    another user once the server has ended, and that user would get our password and payloads.
    """

    def __init__(self, maxmemory_bytes: int) -> None:
        server_binary()  # raises before any file is made
        folder = private_folder(_base() / f"kvtransfer-{os.getuid()}")
        self._address = SocketFile(folder / "embedded.sock")
        self._server: EmbeddedServer | None = None
        self._owner_pid = os.getpid()
        self._lock = ProcessLock(folder / "embedded.lock")
        try:
            self.url = self._address.url(self._join(maxmemory_bytes))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the server if it was started here; called again, or in a fork, it does nothing."""
        if self._server is not None and self._owner_pid == os.getpid():
            self._lock.write("")
            self._server.close()
            self._address.path.unlink(missing_ok=True)
        self._server = None
        self._lock.close()

    def _join(self, maxmemory_bytes: int) -> str:
        """Return the password of the server that runs, or of one that is started here."""
        deadline_s = time.monotonic() + _START_S
        while time.monotonic() < deadline_s:
            if self._lock.is_taken():
                return self._start(maxmemory_bytes)
            with suppress(OSError):
                if (password := self._lock.read()) and answers(self._address, password):
                    return password
            time.sleep(0.01)
        raise ConfigError(f"{self._lock.path} is locked by a process that runs no server")

    def _start(self, maxmemory_bytes: int) -> str:
        self._lock.write("")  # the last holder may have been killed
        self._address.path.unlink(missing_ok=True)
        password = secrets.token_urlsafe(24)
        try:
            self._server = EmbeddedServer(maxmemory_bytes, socket=self._address, password=password)
        except StoreError as error:
            raise ConfigError(str(error)) from None
        self._lock.write(password)
        return password


def _base() -> Path:
    """Return the folder that holds the user's own folder."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime if runtime and os.path.isdir(runtime) else tempfile.gettempdir())


def read_embedded_url(url: str) -> int:
    """Return the bytes that the server of ``url`` may hold.

    Raises:
        ConfigError: the URL is malformed.
    """
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
