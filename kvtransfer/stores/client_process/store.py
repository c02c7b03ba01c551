"""Keeps entries as two values in a store whose client runs in a process of its own.

Under the base key lies the record, with the end of the entry's life, and under the base key +
``_bytes`` the payload. The store may lose one of them alone; the other is then a miss. The record's
tag shows whether the payload was put with it.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from itertools import compress
from typing import TYPE_CHECKING, Self

from kvtransfer.errors import StoreError
from kvtransfer.stores.client_process.calls import (
    RECORDS_AT_ONCE,
    EntryCalls,
    Written,
    both_names,
    entry_bytes,
    payload_name,
    records_bytes,
)
from kvtransfer.stores.client_process.channels import Channels
from kvtransfer.stores.client_process.entry_record import EntryRecord
from kvtransfer.stores.interface import Store, StoredEntry, any_length

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kvtransfer.stores.client_process.calls import Found
    from kvtransfer.stores.client_process.codes import Codes
    from kvtransfer.stores.client_process.process import ClientProcess
    from kvtransfer.stores.interface import LengthOf, Serves
    from kvtransfer.stores.record import ChunkFacts, ChunkRecord
    from kvtransfer.stores.settings import StoreSettings

_FETCHES = 4
"""Each holds memory for a chunk in the client's process too."""
_RETRY_S = 0.005


class ClientProcessStore(Store):
    """Keeps entries with the client that ``start`` starts; see :class:`Channels`.

    Args:
        start: starts the client's process when it is first needed, and again where it has ended.
        codes: what the client's numbers mean.
        address: the store as messages name it.
        settings: as for every store.
        clock: returns seconds since 1970.
    """

    def __init__(
        self,
        start: Callable[[float], ClientProcess],
        codes: Codes,
        address: str,
        settings: StoreSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.address = address
        """The store as logs name it."""
        self._codes = codes
        self._settings = settings
        self._renewed_ttl_s = settings.ttl_s
        self._clock = clock
        self._channels = Channels(start, settings.connections)

    @property
    def parallelism(self) -> int:
        """See :class:`Store`."""
        return _FETCHES

    def contains(self, keys: Sequence[str], length_of: LengthOf = any_length) -> list[bool]:
        """See :class:`Store`; reads records only where entries have a time to live."""
        if not keys:
            return []
        if self._settings.ttl_s is not None:
            return self._live(keys)
        with self._calls(0) as calls:
            found = calls.exist(both_names(keys))
        return [a and b for a, b in zip(found[: len(keys)], found[len(keys) :], strict=True)]

    def get_into(self, key: str, buffer: memoryview, tenant: str = "") -> ChunkRecord | None:
        """See :class:`Store`."""
        with self._calls(len(buffer)) as calls:
            found = calls.read(key, len(buffer))
            record = self._verified(calls, found, buffer, tenant)
            if record is not None:
                self._live_on(calls, record, self._settings.hit_ttl_s)
            elif found.is_damage and not self._settings.only_reads:
                calls.remove([key])
        return record

    def renew(self, key: str, serves: Serves) -> bool:
        """See :class:`Store`."""
        with self._calls(records_bytes(1)) as calls:
            record = self._whole(calls, key)
            if record is None or not self._settings.seals.keep(record, serves):
                return False
            self._live_on(calls, record, self._renewed_ttl_s)
        return True

    def living_for(self, ttl_s: int) -> Self | None:
        """See :class:`Store`; only where the settings have a ``ttl_s``, or lookups read no records."""
        if self._settings.ttl_s is None:
            return None
        living = copy(self)
        living._settings = replace(self._settings, ttl_s=min(ttl_s, self._settings.ttl_s))
        living._renewed_ttl_s = None
        return living

    def put(self, key: str, payload: memoryview, facts: ChunkFacts, tenant: str = "") -> bool:
        """See :class:`Store`; False, and no error, where the store has no room."""
        deadline_s = self._deadline_s()
        with (
            self._settings.seals.sealed(key, facts, payload, tenant) as sealed,
            self._calls(len(sealed), deadline_s) as calls,
        ):
            calls.take_payload(sealed)
            entry = EntryRecord(sealed.record(), self._expiry_s(self._settings.ttl_s))
            written = calls.write(key, entry, len(sealed))
            while written is Written.BUSY and time.monotonic() + _RETRY_S < deadline_s:
                time.sleep(_RETRY_S)  # other calls write the same bytes, or read them
                written = calls.write(key, entry, len(sealed))
            if written is Written.FULL:
                calls.remove([key])  # one half may have had room
        return written is Written.HELD

    def entries(self) -> Iterator[StoredEntry]:
        """See :class:`Store`; a client that can't list its keys fails here."""
        raise StoreError(f"{self.address} can't list what it holds")

    def stat(self, key: str) -> ChunkRecord | None:
        """See :class:`Store`."""
        with self._calls(records_bytes(1)) as calls:
            return self._whole(calls, key)

    def record_of(self, key: str) -> ChunkRecord | None:
        """See :class:`Store`."""
        with self._calls(records_bytes(1)) as calls:
            (entry,) = calls.records([key])
        return None if entry is None or entry.is_over(self._clock()) else entry.record

    def remove(self, key: str) -> None:
        """See :class:`Store`."""
        with self._calls(0) as calls:
            calls.remove([key])

    def close(self) -> None:
        """See :class:`Store`; ends the client's process."""
        self._channels.close()

    def listed(self, keys: Sequence[str]) -> Iterator[StoredEntry]:
        """Yield those of ``keys`` under which there is a record."""
        for begin in range(0, len(keys), RECORDS_AT_ONCE):
            with self._calls(records_bytes(RECORDS_AT_ONCE)) as calls:
                entries = calls.records(keys[begin : begin + RECORDS_AT_ONCE])
            for entry in entries:
                if entry is not None and not entry.is_over(self._clock()):
                    yield StoredEntry.of(entry.record)

    def _verified(
        self, calls: EntryCalls, found: Found, buffer: memoryview, tenant: str
    ) -> ChunkRecord | None:
        """Copy the payload that was read to ``buffer``, and return its record if both are genuine."""
        entry = found.record
        if entry is None or entry.is_over(self._clock()):
            return None
        if not entry.record.identity.nbytes == found.payload_bytes <= len(buffer):
            return None
        opening = self._settings.seals.opening(entry.record, tenant)
        calls.copy_payload(buffer[: found.payload_bytes], opening)
        return entry.record if opening.is_genuine() else None

    def _live(self, keys: Sequence[str]) -> list[bool]:
        """Say for each of ``keys`` whether its entry is whole and alive; remove those that are over."""
        with self._calls(records_bytes(min(len(keys), RECORDS_AT_ONCE))) as calls:
            entries: list[EntryRecord | None] = []
            for begin in range(0, len(keys), RECORDS_AT_ONCE):
                entries += calls.records(keys[begin : begin + RECORDS_AT_ONCE])
            have_payload = calls.exist([payload_name(key) for key in keys])
            now_s = self._clock()
            over = [entry is not None and entry.is_over(now_s) for entry in entries]
            if any(over):
                calls.remove(list(compress(keys, over)))
        return [
            entry is not None and has_payload and not is_over
            for entry, has_payload, is_over in zip(entries, have_payload, over, strict=True)
        ]

    def _whole(self, calls: EntryCalls, key: str) -> ChunkRecord | None:
        """Return the record of an entry that lives and is as long as it says; None otherwise."""
        (entry,) = calls.records([key])
        if entry is None or entry.is_over(self._clock()):
            return None
        nbytes = entry.record.identity.nbytes
        return entry.record if calls.has_length(payload_name(key), nbytes) else None

    def _live_on(self, calls: EntryCalls, record: ChunkRecord, ttl_s: int | None) -> None:
        """Begin a new time to live; where others are in the way, they may do it."""
        if ttl_s is not None:
            calls.write(record.identity.key, EntryRecord(record, self._expiry_s(ttl_s)))

    def _expiry_s(self, ttl_s: int | None) -> int | None:
        return None if ttl_s is None else int(self._clock()) + ttl_s

    def _deadline_s(self) -> float:
        """Return the deadline of a call that begins now, by ``time.monotonic``."""
        return time.monotonic() + self._settings.timeout_s

    @contextmanager
    def _calls(self, payload_bytes: int, deadline_s: float | None = None) -> Iterator[EntryCalls]:
        """Lend calls with memory for a payload; their errors name the store."""
        deadline_s = self._deadline_s() if deadline_s is None else deadline_s
        try:
            with self._channels.taken(entry_bytes(payload_bytes), deadline_s) as channel:
                yield EntryCalls(channel, self._codes, deadline_s)
        except StoreError as error:
            raise StoreError(f"{self.address}: {error}") from None
