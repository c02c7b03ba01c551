"""A store that may fail without anybody noticing more than misses."""

from __future__ import annotations

import logging
import time
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from kvtransfer.errors import PartError, StoreError
from kvtransfer.metrics import Metrics
from kvtransfer.rare_log import RareLog
from kvtransfer.stores import Distant, Parted, StoreSettings, open_store
from kvtransfer.stores.breaker import Breaker
from kvtransfer.stores.disk.store import DiskStore
from kvtransfer.stores.seals.in_use import Seals
from kvtransfer.stores.shelf import Shelf
from kvtransfer.stores.tiered import Tier, TieredStore
from kvtransfer.urls import masked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kvtransfer.chunks.layout import ChunkFormat
    from kvtransfer.config import TransferConfig
    from kvtransfer.stores import Store

_LOG = logging.getLogger("kvtransfer")
T = TypeVar("T")

FAR_FETCHES = 16
"""At once from a store that is far away: most of each is waiting."""


def open_guarded(
    config: TransferConfig,
    chunk: ChunkFormat,
    metrics: Metrics | None = None,
    shelf: Shelf | None = None,
) -> TieredStore | None:
    """The stores that ``config`` names, None where it names none; each connects when first used.

    Args:
        config: the folder, the URL, and what bounds them.
        chunk: what every payload is.
        metrics: told which tier served and what was refused, and shows which are left alone.
        shelf: what ``memory://`` holds; those that have one see the same entries.

    Raises:
        ConfigError: the URL is malformed, the folder has no size, or a key file can't be used.
    """
    metrics = metrics or Metrics()
    settings = StoreSettings(
        ttl_s=config.ttl_s,
        refresh_ttl=config.refresh_ttl,
        timeout_s=config.remote_timeout_ms / 1000,
        # All fetch at once, and one puts.
        connections=max(config.remote_connections, FAR_FETCHES) + 1,
        password_file=config.remote_password_file,
        seals=Seals.open(config, metrics),
        shelf=shelf or Shelf(),
    )
    stores: dict[str, GuardedStore] = {}
    if config.local_storage is not None:
        limit_bytes = int(config.max_local_storage_size * 2**30)
        disk = DiskStore(config.local_storage, chunk, settings, limit_bytes=limit_bytes)
        metrics.watch("disk_used_bytes", disk.room.used_bytes)
        stores["disk"] = GuardedStore(disk, disk.address)
    if config.remote_url is not None:
        remote = open_store(config.remote_url, chunk, settings)
        if isinstance(remote, DiskStore):
            metrics.watch("disk_used_bytes", remote.room.used_bytes)
        # A replica takes over within seconds; to notice that shouldn't take much longer.
        breaker = Breaker(longest_rest_s=1.0) if "-sentinel://" in config.remote_url else Breaker()
        stores["remote"] = GuardedStore(remote, config.remote_url, breaker=breaker)
    for store in stores.values():
        metrics.watch("open_breakers", store.open_breakers)
    tiers = [Tier(name, store) for name, store in stores.items()]
    return TieredStore(tiers, chunk, metrics) if tiers else None


class GuardedStore:
    """``store`` with each failure turned into a miss, counted, and logged once a minute.

    After a few failures in a row it answers misses at once and lets a probe through from time to
    time (see :class:`Breaker`). An exception that isn't a :class:`StoreError` is a fault of ours:
    it is a miss too, with its traceback in the log, but one entry may have brought it about, so
    the breaker doesn't count it. Owns ``store``: closing this closes it.
    """

    failures: int
    """Calls that the store did not answer."""
    faults: int
    """Those of them that ended in a fault of ours."""
    refused: int
    """Calls that were answered as misses without asking the store."""

    def __init__(
        self,
        store: Store,
        address: str,
        *,
        breaker: Breaker | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.failures = 0
        self.faults = 0
        self.refused = 0
        self._store = store
        self._address = masked(address)
        self._breaker = Breaker() if breaker is None else breaker
        self._clock = clock
        self._lock = Lock()
        self._log = RareLog(clock)
        self._unexpected = RareLog(clock)
        self._unanswered = 0
        """Calls since it last served."""

    def contains(self, keys: Sequence[str]) -> list[bool]:
        """See :class:`kvtransfer.stores.Store`; all False when the store fails."""
        return self._ask(lambda: self._store.contains(keys), [False] * len(keys))

    def get_into(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        """See :class:`kvtransfer.stores.Store`; a miss when the store fails."""
        return self._ask(lambda: self._store.get_into(key, payload, tenant), False)

    def put(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        """See :class:`kvtransfer.stores.Store`; False, a dropped chunk, when the store fails."""
        return self._ask(lambda: self._store.put(key, payload, tenant), False)

    def open_breakers(self) -> int:
        """How many of its breakers are open: its own, and those of the store's parts."""
        parts = self._store.parts_left_alone() if isinstance(self._store, Parted) else 0
        return self._breaker.is_open + parts

    @property
    def is_far(self) -> bool:
        """See :class:`kvtransfer.stores.Distant`."""
        return isinstance(self._store, Distant) and self._store.is_far

    def close(self) -> None:
        """See :class:`kvtransfer.stores.Store`."""
        try:
            self._store.close()
        except Exception as error:  # noqa: BLE001 - the rest has to be closed, too
            self._note(error)

    def _ask(self, question: Callable[[], T], otherwise: T) -> T:
        with self._lock:
            if not self._breaker.allows(self._clock()):
                self.refused += 1
                self._unanswered += 1
                return otherwise
        try:
            answer = question()
        except Exception as error:  # noqa: BLE001 - whatever it is, a cache may not end a thread
            self._note(error)
            return otherwise
        self._serves()
        return answer

    def _serves(self) -> None:
        with self._lock:
            was_open, missed = self._breaker.is_open, self._unanswered
            self._breaker.succeeded()
            self._unanswered = 0
        if was_open:
            _LOG.warning("store %s serves again; %d calls were not answered", self._address, missed)

    def _note(self, error: Exception) -> None:
        is_ours = not isinstance(error, StoreError)
        with self._lock:
            self.failures += 1
            self._unanswered += 1
            self.faults += is_ours
            if not is_ours and not isinstance(error, PartError):
                self._breaker.failed(self._clock())
        if is_ours:
            told = f"store {self._address}: a fault of kvtransfer, please report it"
            self._unexpected.warn_unexpected(told, error)
        else:
            cause = str(error).removeprefix(f"{self._address}: ")
            self._log.warn(f"store {self._address} fails, its chunks are misses: {cause}")
