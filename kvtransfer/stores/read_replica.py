"""Makes one store of two: a primary that takes every put, and a replica nearby that is read."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from copy import copy
from threading import Lock
from typing import TYPE_CHECKING, Self

from kvtransfer.errors import ConfigError, PartError, StoreError
from kvtransfer.stores.circuit_breaker import CircuitBreaker
from kvtransfer.stores.interface import Store, any_length
from kvtransfer.stores.schemes import scheme_of
from kvtransfer.urls import masked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from kvtransfer.config import TransferConfig
    from kvtransfer.stores.circuit_breaker import BreakerSettings
    from kvtransfer.stores.interface import LengthOf, Serves, StoredEntry
    from kvtransfer.stores.record import ChunkFacts, ChunkRecord
    from kvtransfer.stores.settings import StoreSettings

_LOG = logging.getLogger("kvtransfer")


class ReplicatedStore(Store):
    """Asks ``replica`` for entries and puts them into ``primary``; owns and closes both.

    What the replica doesn't have yet is a miss. A call that the replica doesn't answer raises
    :class:`PartError`, since puts go on; after some of them in a row its circuit breaker opens, and
    entries are read from the primary until a probe of the replica is answered. Safe to use from
    several threads. ``clock`` returns seconds.
    """

    @classmethod
    def open(cls, url: str, settings: StoreSettings) -> Self:
        """Refuse: two URLs make this store, see :func:`kvtransfer.stores.open.open_tiers`."""
        raise ConfigError(
            f"{masked(url)!r} names one store: set remote_url and remote_read_url for two"
        )

    @classmethod
    def check(cls, url: str, settings: StoreSettings) -> None:
        """Refuse, as ``open`` does."""
        cls.open(url, settings)

    def __init__(
        self, primary: Store, replica: Store, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._primary = primary
        self._replica = replica
        self._breaker = CircuitBreaker(replica.breaker_settings)
        self._clock = clock
        self._lock = Lock()

    @property
    def parallelism(self) -> int:
        """See :class:`Store`; of the one that is read."""
        return (self._primary if self._breaker.is_open else self._replica).parallelism

    @property
    def breaker_settings(self) -> BreakerSettings:
        """See :class:`Store`; of the primary."""
        return self._primary.breaker_settings

    @property
    def gauges(self) -> Mapping[str, Callable[[], int]]:
        """See :class:`Store`; of the primary."""
        return self._primary.gauges

    def open_breakers(self) -> int:
        """See :class:`Store`; the replica's breaker, and those of the parts of both."""
        parts = self._primary.open_breakers() + self._replica.open_breakers()
        return self._breaker.is_open + parts

    def require_room(self, nbytes: int) -> None:
        """See :class:`Store`."""
        self._primary.require_room(nbytes)
        self._replica.require_room(nbytes)

    def contains(self, keys: Sequence[str], length_of: LengthOf = any_length) -> list[bool]:
        """See :class:`Store`."""
        with self._reading() as store:
            return store.contains(keys, length_of)

    def get_into(self, key: str, buffer: memoryview, tenant: str = "") -> ChunkRecord | None:
        """See :class:`Store`; a damaged entry in the replica stays there."""
        with self._reading() as store:
            return store.get_into(key, buffer, tenant)

    def renew(self, key: str, serves: Serves) -> bool:
        """See :class:`Store`."""
        return self._primary.renew(key, serves)

    def living_for(self, ttl_s: int) -> Self | None:
        """See :class:`Store`; as the primary can."""
        primary = self._primary.living_for(ttl_s)
        if primary is None:
            return None
        living = copy(self)
        living._primary = primary
        return living

    def put(self, key: str, payload: memoryview, facts: ChunkFacts, tenant: str = "") -> bool:
        """See :class:`Store`."""
        return self._primary.put(key, payload, facts, tenant)

    def expect_puts(self, keys: Sequence[str]) -> None:
        """See :class:`Store`."""
        self._primary.expect_puts(keys)

    def entries(self) -> Iterator[StoredEntry]:
        """See :class:`Store`; those of the primary."""
        return self._primary.entries()

    def stat(self, key: str) -> ChunkRecord | None:
        """See :class:`Store`; of the primary."""
        return self._primary.stat(key)

    def remove(self, key: str) -> None:
        """See :class:`Store`; from the primary, and so from the replica some time later."""
        self._primary.remove(key)

    def close(self) -> None:
        """See :class:`Store`."""
        self._replica.close()
        self._primary.close()

    @contextmanager
    def _reading(self) -> Iterator[Store]:
        """Yield the store to read, and tell the replica's breaker how the body ended."""
        with self._lock:
            is_allowed = self._breaker.allows(self._clock())
        if not is_allowed:
            yield self._primary
            return
        try:
            yield self._replica
        except StoreError as error:
            if not isinstance(error, PartError):
                self._fails()
            raise PartError(f"read replica: {error}") from None
        self._serves()

    def _fails(self) -> None:
        with self._lock:
            was_open = self._breaker.is_open
            self._breaker.failed(self._clock())
            has_opened = self._breaker.is_open and not was_open
        if has_opened:
            _LOG.warning("the read replica fails: chunks are read from the primary meanwhile")

    def _serves(self) -> None:
        with self._lock:
            was_open = self._breaker.is_open
            self._breaker.succeeded()
        if was_open:
            _LOG.warning("the read replica serves again")


def check_replica(config: TransferConfig) -> None:
    """Refuse a ``remote_read_url`` that can't serve beside the other settings of ``config``.

    Raises:
        ConfigError: there is no primary, one of the two is no Redis server, or hits were to renew
            entries.
    """
    if config.remote_read_url is None:
        return
    shown = f"remote_read_url={masked(config.remote_read_url)!r}"
    if config.remote_url is None:
        raise ConfigError(f"{shown} is only read: set remote_url to the server that takes puts")
    urls = (config.remote_url, config.remote_read_url)
    if not all(scheme_of(url).is_redis_server for url in urls):
        raise ConfigError(
            f"{shown} beside remote_url={masked(config.remote_url)!r}: only a Redis server has "
            "replicas; write redis://host:6379/0 in both"
        )
    if config.refresh_ttl:
        raise ConfigError(
            f"{shown} and refresh_ttl=True: a replica can't renew an entry on a hit; leave one of "
            "them out"
        )
