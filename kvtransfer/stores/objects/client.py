"""Starts the client of a bucket in a process of its own, and lends calls to it."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError, StoreError
from kvtransfer.stores.client_process.channel import LateError
from kvtransfer.stores.client_process.channels import Channels
from kvtransfer.stores.client_process.process import ClientProcess, JoinError
from kvtransfer.stores.objects.calls import BucketCalls, memory_bytes
from kvtransfer.stores.objects.credentials import told_of_late_answers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvtransfer.stores.objects.url import ObjectUrl
    from kvtransfer.stores.settings import StoreSettings

_START_S = 30.0
"""How long to wait for the process, at most; if something else is wrong, calls tell it."""
_MOST_THREADS = 8
"""Threads for input and output; obstore would have one for each core of the machine."""


class BucketClient:
    """The client of the bucket at ``url``, for several threads; a process that ends is started anew.

    Raises:
        ConfigError: obstore isn't installed, or makes no client of the URL and the environment.
    """

    def __init__(self, url: ObjectUrl, settings: StoreSettings) -> None:
        if find_spec("obstore") is None:
            raise ConfigError(f"{url.scheme}:// needs the obstore library: pip install '.[s3]'")
        self._url = url
        self._timeout_s = settings.timeout_s
        self._late = told_of_late_answers(url.scheme, os.environ)
        # One more than calls at once: a listing keeps its channel while others remove entries.
        self._channels = Channels(self._started, settings.connections + 1)
        self._await_process()

    @contextmanager
    def lent(
        self, payload_bytes: int = 0, deadline_s: float | None = None
    ) -> Iterator[BucketCalls]:
        """Lend calls with memory for a payload; ``StoreError`` in the body gets the store's name.

        They must be answered by ``deadline_s`` of ``time.monotonic``, as a rule ``self.deadline_s()``.
        """
        deadline_s = self.deadline_s() if deadline_s is None else deadline_s
        try:
            with self._channels.taken(memory_bytes(payload_bytes), deadline_s) as channel:
                yield BucketCalls(channel, deadline_s)
        except LateError:
            raise StoreError(f"{self._url.shown}: {self._late}") from None
        except StoreError as error:
            raise StoreError(f"{self._url.shown}: {error}") from None

    def deadline_s(self) -> float:
        """Return the deadline of a call that begins now, by ``time.monotonic``."""
        return time.monotonic() + self._timeout_s

    def close(self) -> None:
        """End the process; no call may be under way or follow."""
        self._channels.close()

    def _started(self, deadline_s: float) -> ClientProcess:
        del deadline_s  # a start doesn't wait
        threads = min(_MOST_THREADS, os.cpu_count() or 1)
        limits = {"TOKIO_WORKER_THREADS": str(threads)}
        return ClientProcess("objects", self._url.settings(self._timeout_s), limits)

    def _await_process(self) -> None:
        """Wait until the process has made its client, so that the first call needn't."""
        deadline_s = time.monotonic() + _START_S
        try:
            with self._channels.taken(memory_bytes(0), deadline_s) as channel:
                BucketCalls(channel, deadline_s).require_client()
        except JoinError as error:
            self.close()
            raise ConfigError(f"{self._url.shown}: {error}") from None
        except StoreError:
            pass
