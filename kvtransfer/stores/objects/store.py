"""Keeps entries as objects in a bucket of S3, of what speaks its protocol, of GCS or of Azure.

An entry is one object: the record in 4 KiB of text, then the payload. One request brings both, and
there are no halves that could belong to different puts. The names are those of files in a folder.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from kvtransfer.errors import StoreError
from kvtransfer.stores.disk.file.record_sector import encode_record
from kvtransfer.stores.disk.listed_paths import entries_of, orphans_of
from kvtransfer.stores.disk.names import path_of
from kvtransfer.stores.expected_puts import ExpectedPuts
from kvtransfer.stores.interface import FAR_FETCHES, Store, StoredEntry, any_length
from kvtransfer.stores.objects.client import BucketClient
from kvtransfer.stores.objects.entries import Entry, ObjectEntries, in_parts
from kvtransfer.stores.objects.lifetime import Lifetime, age_s
from kvtransfer.stores.objects.url import read_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from kvtransfer.stores.interface import LengthOf, Serves
    from kvtransfer.stores.objects.calls import BucketCalls, Found
    from kvtransfer.stores.record import ChunkFacts, ChunkRecord
    from kvtransfer.stores.settings import StoreSettings


class ObjectStore(Store):
    """Keeps entries in the bucket that a URL names.

    Args:
        url: see ``kvtransfer/stores/objects/url.py``.
        settings: ``ttl_s`` counts from when the server last wrote an object. A put or hit that
            renews an entry does so once half of that is over.
        age_s: returns for how many seconds an object has been there, which was written at a time
            of the server's clock.

    Raises:
        ConfigError: the URL is malformed, or no client can be made of it and the environment.
    """

    @classmethod
    def open(cls, url: str, settings: StoreSettings) -> ObjectStore:
        """See :class:`Store`; ``url`` is ``s3://``, ``gs://`` or ``az://``."""
        return cls(url, settings)

    @classmethod
    def check(cls, url: str, settings: StoreSettings) -> None:
        """See :class:`Store`."""
        cls(url, settings).close()

    def __init__(
        self, url: str, settings: StoreSettings, *, age_s: Callable[[datetime], float] = age_s
    ) -> None:
        self._settings = settings
        self._lifetime = Lifetime(settings, age_s)
        self._expected = ExpectedPuts()
        self._client = BucketClient(read_url(url), settings)

    @property
    def parallelism(self) -> int:
        """See :class:`Store`."""
        return FAR_FETCHES

    def contains(self, keys: Sequence[str], length_of: LengthOf = any_length) -> list[bool]:
        """See :class:`Store`; one request for each key, many at once."""
        with self._client.lent() as calls:
            return self._entries(calls).held(keys, length_of)

    def get_into(self, key: str, buffer: memoryview, tenant: str = "") -> ChunkRecord | None:
        """See :class:`Store`."""
        with self._client.lent(len(buffer)) as calls:
            read = calls.read(path_of(key), len(buffer))
            if read is None:
                return None
            record = self._verified(calls, read, key, buffer, tenant)
            if record is None:
                if not self._settings.only_reads:
                    calls.remove([path_of(key)])
            elif self._lifetime.is_renewed_by_hit(read[0].modified):
                with suppress(StoreError):  # a hit it is all the same
                    calls.renew(path_of(key))
        return record

    def renew(self, key: str, serves: Serves) -> bool:
        """See :class:`Store`."""
        if self._expected.has(key):
            return False
        with self._client.lent() as calls:
            entry = self._entries(calls).find(key)
            if entry is None or not self._settings.seals.keep(entry.record, serves):
                return False
            if self._lifetime.is_half_over(entry.found.modified):
                try:
                    calls.renew(path_of(key))
                except StoreError:  # it is put anew then
                    return False
        return True

    def put(self, key: str, payload: memoryview, facts: ChunkFacts, tenant: str = "") -> bool:
        """See :class:`Store`; one that was put since the key was found missing is kept, if it serves."""
        deadline_s = self._client.deadline_s()
        with (
            self._settings.seals.sealed(key, facts, payload, tenant) as sealed,
            self._client.lent(len(sealed), deadline_s) as calls,
        ):
            calls.take_payload(sealed)
            header, nbytes = encode_record(sealed.record()), len(sealed)
            if self._expected.take(key):
                serves = partial(self._serves, facts, nbytes)
                self._entries(calls).add(key, header, nbytes, serves)
            else:
                calls.write(path_of(key), header, nbytes)
        return True

    def expect_puts(self, keys: Sequence[str]) -> None:
        """See :class:`Store`."""
        held = zip(keys, self.contains(keys), strict=True)
        self._expected.learn(key for key, is_held in held if not is_held)

    def entries(self) -> Iterator[StoredEntry]:
        """See :class:`Store`; reads the record of each object."""
        return entries_of(self._records())

    def orphans(self) -> Iterator[str]:
        """See :class:`Store`; here those are objects whose record can't be read or is another's."""
        return orphans_of(self._records())

    def stat(self, key: str) -> ChunkRecord | None:
        """See :class:`Store`."""
        with self._client.lent() as calls:
            entry = self._entries(calls).find(key)
        return None if entry is None else entry.record

    def remove(self, key: str) -> None:
        """See :class:`Store`."""
        with self._client.lent() as calls:
            calls.remove([path_of(key)])

    def close(self) -> None:
        """See :class:`Store`; ends the client's process."""
        self._client.close()

    def _entries(self, calls: BucketCalls) -> ObjectEntries:
        return ObjectEntries(calls, self._lifetime, removes=not self._settings.only_reads)

    def _records(self) -> Iterator[tuple[str, ChunkRecord | None]]:
        """Yield the name of each object that is named as an entry, and its record if it has one."""
        with self._client.lent() as calls:
            page = calls.first_page()
            while page is not None:
                for part in in_parts(page):
                    yield from self._entries(calls.until(self._client.deadline_s())).records(part)
                page = calls.until(self._client.deadline_s()).next_page()

    def _serves(self, facts: ChunkFacts, nbytes: int, record: ChunkRecord) -> bool:
        return record.says(facts, nbytes) and self._settings.seals.keep(record, lambda _: True)

    def _verified(
        self,
        calls: BucketCalls,
        read: tuple[Found, bytes],
        key: str,
        buffer: memoryview,
        tenant: str,
    ) -> ChunkRecord | None:
        """Copy the payload that was read to ``buffer``, and return its record if both are genuine."""
        entry = Entry.of(read)
        if entry is None or not entry.record.names(key):
            return None
        nbytes = entry.record.identity.nbytes
        if nbytes > len(buffer) or self._lifetime.is_over(entry.found.modified):
            return None
        opening = self._settings.seals.opening(entry.record, tenant)
        calls.copy_payload(buffer[:nbytes], opening)
        return entry.record if opening.is_genuine() else None
