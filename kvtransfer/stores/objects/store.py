"""Keeps entries as objects in a bucket of S3, of what speaks its protocol, of GCS or of Azure.

An entry is one object: the record in 4 KiB of text, then the payload. One request brings both, and
there are no halves that could belong to different puts. The names are those of files in a folder.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from kvtransfer.errors import StoreError
from kvtransfer.stores.disk.listed_paths import entries_of, orphans_of
from kvtransfer.stores.disk.names import path_of
from kvtransfer.stores.expected_puts import ExpectedPuts
from kvtransfer.stores.interface import FAR_FETCHES, Store, StoredEntry, any_length
from kvtransfer.stores.objects.bucket import Bucket
from kvtransfer.stores.objects.client import open_client
from kvtransfer.stores.objects.credentials import told_of_late_answers
from kvtransfer.stores.objects.entries import ObjectEntries, content_of, next_page
from kvtransfer.stores.objects.event_loop import EventLoop
from kvtransfer.stores.objects.lifetime import Lifetime, age_s
from kvtransfer.stores.objects.reading import DamagedError, Reading
from kvtransfer.stores.objects.url import read_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from kvtransfer.stores.interface import LengthOf, Serves
    from kvtransfer.stores.objects.bucket import Arriving
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
        open_client(read_url(url), settings.timeout_s)

    def __init__(
        self, url: str, settings: StoreSettings, *, age_s: Callable[[datetime], float] = age_s
    ) -> None:
        read = read_url(url)
        self._timeout_s = settings.timeout_s
        self._seals = settings.seals
        self._only_reads = settings.only_reads
        self._lifetime = Lifetime(settings, age_s)
        self._expected = ExpectedPuts()
        self._bucket = Bucket(open_client(read, settings.timeout_s), read.shown)
        self._entries = ObjectEntries(self._bucket, self._lifetime, settings)
        self._loop = EventLoop(f"{read.shown}: {told_of_late_answers(read.scheme, os.environ)}")
        self._reading = Reading(self._bucket, self._loop, settings.seals)

    @property
    def parallelism(self) -> int:
        """See :class:`Store`."""
        return FAR_FETCHES

    def contains(self, keys: Sequence[str], length_of: LengthOf = any_length) -> list[bool]:
        """See :class:`Store`; one request for each key, many at once."""
        return self._loop.run(self._entries.held(keys, length_of), self._deadline_s())

    def get_into(self, key: str, buffer: memoryview, tenant: str = "") -> ChunkRecord | None:
        """See :class:`Store`."""
        deadline_s = self._deadline_s()
        first = self._reading.begin(path_of(key), buffer, deadline_s)
        if first is None:
            return None
        try:
            return self._finished(first, key, buffer, tenant, deadline_s)
        except DamagedError:
            if not self._only_reads:
                self._loop.run(self._bucket.remove(path_of(key)), deadline_s)
        return None

    def renew(self, key: str, serves: Serves) -> bool:
        """See :class:`Store`."""
        if self._expected.has(key):
            return False
        deadline_s = self._deadline_s()
        entry = self._loop.run(self._entries.find(key), deadline_s)
        if entry is None or not self._seals.keep(entry.record, serves):
            return False
        if self._lifetime.is_half_over(entry.found.modified):
            return self._is_renewed(key, deadline_s)
        return True

    def put(self, key: str, payload: memoryview, facts: ChunkFacts, tenant: str = "") -> bool:
        """See :class:`Store`; one that was put since the key was found missing is kept, if it serves."""
        deadline_s = self._deadline_s()
        with self._seals.sealed(key, facts, payload, tenant) as sealed:
            content, nbytes = content_of(sealed), len(sealed)
        if self._expected.take(key):
            writing = self._entries.add(key, content, partial(self._serves, facts, nbytes))
        else:
            writing = self._bucket.write(path_of(key), content)
        self._loop.run(writing, deadline_s)
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
        entry = self._loop.run(self._entries.find(key), self._deadline_s())
        return None if entry is None else entry.record

    def remove(self, key: str) -> None:
        """See :class:`Store`."""
        self._loop.run(self._bucket.remove(path_of(key)), self._deadline_s())

    def close(self) -> None:
        """See :class:`Store`."""
        self._loop.close()

    def _deadline_s(self) -> float:
        """Return the deadline of a call that begins now, by ``time.monotonic``."""
        return time.monotonic() + self._timeout_s

    def _records(self) -> Iterator[tuple[str, ChunkRecord | None]]:
        """Yield the name of each object that is named as an entry, and its record if it has one."""
        pages = self._entries.pages()
        while (page := self._loop.run(next_page(pages), self._deadline_s())) is not None:
            yield from page

    def _serves(self, facts: ChunkFacts, nbytes: int, record: ChunkRecord) -> bool:
        return record.says(facts, nbytes) and self._seals.keep(record, lambda _: True)

    def _finished(
        self, first: Arriving, key: str, buffer: memoryview, tenant: str, deadline_s: float
    ) -> ChunkRecord | None:
        modified = first.found.modified
        if self._lifetime.is_over(modified):
            raise DamagedError
        record = self._reading.finish(first, key, buffer, tenant, deadline_s)
        if record is not None and self._lifetime.is_renewed_by_hit(modified):
            self._is_renewed(key, deadline_s)  # or not: a hit it is all the same
        return record

    def _is_renewed(self, key: str, deadline_s: float) -> bool:
        """Renew the entry of ``key``; False where the server can't, or not in time."""
        with suppress(StoreError):
            self._loop.run(self._bucket.renew(path_of(key)), deadline_s)
            return True
        return False
