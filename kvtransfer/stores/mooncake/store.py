"""Keeps entries in Mooncake Store, with its own client.

Values lie in memory segments that machines contribute; a master knows where. Reading gives a value
a lease, and the master evicts values whose lease has ended.
"""

from __future__ import annotations

import socket
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError, StoreError
from kvtransfer.stores.client_process.process import ClientProcess
from kvtransfer.stores.client_process.store import ClientProcessStore
from kvtransfer.stores.mooncake.codes import CODES
from kvtransfer.stores.mooncake.listing import base_keys, stored_names
from kvtransfer.stores.mooncake.url import read_mooncake_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kvtransfer.stores.interface import StoredEntry
    from kvtransfer.stores.settings import StoreSettings


class MooncakeStore(ClientProcessStore):
    """Keeps entries in the pool of the master that a URL names.

    Raises:
        ConfigError: the URL is malformed, or Mooncake's client isn't installed.
    """

    @classmethod
    def open(cls, url: str, settings: StoreSettings) -> MooncakeStore:
        """See :class:`Store`; ``url`` is ``mooncake://host:50051`` with options after ``?``."""
        return cls(url, settings)

    @classmethod
    def check(cls, url: str, settings: StoreSettings) -> None:
        """See :class:`Store`."""
        read_mooncake_url(url)
        _require_client()

    def __init__(
        self, url: str, settings: StoreSettings, *, clock: Callable[[], float] = time.time
    ) -> None:
        _require_client()
        self._url = read_mooncake_url(url)
        self._timeout_s = settings.timeout_s
        super().__init__(self._start, CODES, self._url.shown, settings, clock)

    def entries(self) -> Iterator[StoredEntry]:
        """See :class:`Store`; asks the HTTP port of the master, which the URL has to name."""
        port = self._url.metrics_port
        if port is None:
            raise StoreError(
                f"{self.address} can't list what it holds: add ?metrics_port= with the port that "
                "the master's --metrics_port names"
            )
        yield from self.listed(base_keys(stored_names(self._url.host, port, self._timeout_s)))

    def _start(self, deadline_s: float) -> ClientProcess:
        """Start the client, unless the master's port is closed: the client would try for minutes.

        Raises:
            StoreError: the port is closed, or unreachable.
        """
        left_s = max(0.001, deadline_s - time.monotonic())
        try:
            socket.create_connection((self._url.host, self._url.port), left_s).close()
        except OSError as error:
            raise StoreError(f"can't reach the master: {error.strerror or error}") from None
        return ClientProcess("mooncake", self._url.settings(), self._limits())

    def _limits(self) -> dict[str, str]:
        """Return variables that keep the client from waiting much longer than we do."""
        timeout_ms = str(max(1, int(1000 * self._timeout_s)))
        return {
            "MC_RPC_TIMEOUT_MS": timeout_ms,
            "MC_RPC_CONNECT_TIMEOUT_MS": timeout_ms,
            "MC_STORE_CLIENT_SETUP_RETRIES": "3",
        }


def _require_client() -> None:
    if find_spec("mooncake") is None:
        raise ConfigError("mooncake:// needs Mooncake's client: pip install '.[mooncake]'")
