"""Keeps entries in InfiniStore, with its own client."""

from __future__ import annotations

import time
from importlib.util import find_spec
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError
from kvtransfer.stores.client_process.process import ClientProcess
from kvtransfer.stores.client_process.store import ClientProcessStore
from kvtransfer.stores.infinistore.codes import CODES
from kvtransfer.stores.infinistore.url import read_infinistore_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvtransfer.stores.settings import StoreSettings


class InfiniStore(ClientProcessStore):
    """Keeps entries in the server that a URL names; it lists none.

    Raises:
        ConfigError: the URL is malformed, or InfiniStore's client isn't installed.
    """

    @classmethod
    def open(cls, url: str, settings: StoreSettings) -> InfiniStore:
        """See :class:`Store`; ``url`` is ``infinistore://host:12345`` with options after ``?``."""
        return cls(url, settings)

    @classmethod
    def check(cls, url: str, settings: StoreSettings) -> None:
        """See :class:`Store`."""
        read_infinistore_url(url)
        _require_client()

    def __init__(
        self, url: str, settings: StoreSettings, *, clock: Callable[[], float] = time.time
    ) -> None:
        _require_client()
        self._url = read_infinistore_url(url)
        self._timeout_s = settings.timeout_s
        super().__init__(self._start, CODES, self._url.shown, settings, clock)

    def _start(self, deadline_s: float) -> ClientProcess:
        del deadline_s
        return ClientProcess("infinistore", self._url.settings(self._timeout_s), {})


def _require_client() -> None:
    if find_spec("infinistore") is None:
        raise ConfigError("infinistore:// needs its client: pip install '.[infinistore]'")
