"""Keeps quotas in a store of entries: what is over a limit is not put, or older entries give way."""

from __future__ import annotations

import os
from contextlib import suppress
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Self

from kvtransfer.errors import ConfigError, PartError, StoreError
from kvtransfer.stores.interface import Store, any_length
from kvtransfer.stores.ledgers.books import Books
from kvtransfer.stores.ledgers.interface import GONE, USED
from kvtransfer.stores.ledgers.keeper import Keeper
from kvtransfer.stores.ledgers.member import Member
from kvtransfer.stores.ledgers.recount import recount
from kvtransfer.urls import masked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from kvtransfer.metrics import Metrics
    from kvtransfer.stores.circuit_breaker import BreakerSettings
    from kvtransfer.stores.interface import LengthOf, Serves, StoredEntry
    from kvtransfer.stores.ledgers.interface import Ledger
    from kvtransfer.stores.ledgers.scope import ScopeLimits
    from kvtransfer.stores.record import ChunkFacts, ChunkRecord, Identity
    from kvtransfer.stores.settings import StoreSettings


class QuotaStore(Store):
    """Counts in ``ledger`` what is put into ``store``; owns and closes both.

    Only puts wait for the ledger. Reads and renewals are noted, and told by a thread of its own.

    Args:
        store: holds the entries.
        ledger: counts them, for all engines.
        limits: of this engine.
        metrics: count puts that are refused, and entries that are evicted.
    """

    @classmethod
    def open(cls, url: str, settings: StoreSettings) -> Self:
        """Refuse: a URL names no quotas, see :func:`kvtransfer.stores.open.open_tiers`."""
        raise ConfigError(f"{masked(url)!r} names a store without quotas: set quotas_file")

    @classmethod
    def check(cls, url: str, settings: StoreSettings) -> None:
        """Refuse, as ``open`` does."""
        cls.open(url, settings)

    def __init__(self, store: Store, ledger: Ledger, limits: ScopeLimits, metrics: Metrics) -> None:
        writer = os.urandom(8).hex()
        self._store = store
        self._books = Books(limits, ledger, writer, metrics)
        begin = partial(self._recount, ledger)
        self._keeper = Keeper(self._books, ledger, writer, begin)

    @property
    def parallelism(self) -> int:
        """See :class:`Store`."""
        return self._store.parallelism

    @property
    def breaker_settings(self) -> BreakerSettings:
        """See :class:`Store`."""
        return self._store.breaker_settings

    @property
    def gauges(self) -> Mapping[str, Callable[[], int]]:
        """See :class:`Store`."""
        return self._store.gauges

    def open_breakers(self) -> int:
        """See :class:`Store`."""
        return self._store.open_breakers()

    def require_room(self, nbytes: int) -> None:
        """See :class:`Store`."""
        self._store.require_room(nbytes)

    def contains(self, keys: Sequence[str], length_of: LengthOf = any_length) -> list[bool]:
        """See :class:`Store`."""
        return self._store.contains(keys, length_of)

    def get_into(self, key: str, buffer: memoryview, tenant: str = "") -> ChunkRecord | None:
        """See :class:`Store`; an entry that was read is not the next to give way."""
        record = self._store.get_into(key, buffer, tenant)
        if record is not None:
            self._note(Member(key, record.identity.tenant), USED)
        return record

    def renew(self, key: str, serves: Serves) -> bool:
        """See :class:`Store`; an entry that stays counts, also where it was put without quotas."""
        found: list[Identity] = []

        def is_kept(identity: Identity) -> bool:
            found.append(identity)
            return serves(identity)

        is_renewed = self._store.renew(key, is_kept)
        if is_renewed:
            for identity in found:
                self._note(Member(key, identity.tenant), identity.nbytes)
        return is_renewed

    def living_for(self, ttl_s: int) -> Self | None:
        """See :class:`Store`; as the store of entries can."""
        entries = self._store.living_for(ttl_s)
        if entries is None:
            return None
        living = copy(self)
        living._store = entries
        return living

    def put(self, key: str, payload: memoryview, facts: ChunkFacts, tenant: str = "") -> bool:
        """See :class:`Store`; False also where a quota has no room for it."""
        member = Member(key, tenant)
        self._keeper.wake()
        if not self._books.admit(member, len(payload)):
            return False
        try:
            is_put = self._store.put(key, payload, facts, tenant)
        except PartError:
            self._take_back(member)
            raise
        if not is_put:
            self._take_back(member)
        return is_put

    def expect_puts(self, keys: Sequence[str]) -> None:
        """See :class:`Store`."""
        self._store.expect_puts(keys)

    def entries(self) -> Iterator[StoredEntry]:
        """See :class:`Store`."""
        return self._store.entries()

    def stat(self, key: str) -> ChunkRecord | None:
        """See :class:`Store`."""
        return self._store.stat(key)

    def remove(self, key: str) -> None:
        """See :class:`Store`; what it held counts until it is the oldest, or a recount."""
        self._store.remove(key)

    def close(self) -> None:
        """See :class:`Store`; gives back what this writer may still have put."""
        self._keeper.close()
        with suppress(StoreError):  # what isn't given back ends by itself
            self._books.close()
        self._store.close()

    def _take_back(self, member: Member) -> None:
        """Count ``member`` no longer, unless it may be there; then it counts until it is the oldest."""
        with suppress(StoreError):
            if self._store.stat(member.key) is None:
                self._books.note(member, GONE)

    def _note(self, member: Member, nbytes: int) -> None:
        self._keeper.wake()
        self._books.note(member, nbytes)

    def _recount(self, ledger: Ledger) -> Iterator[int]:
        return recount(self._store.entries(), self._store.contains, ledger, self._books)
