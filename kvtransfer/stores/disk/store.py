"""Keeps entries as files in a folder, on a disk of this machine or a mounted one.

The folder is the truth: an entry that isn't there under its name is a miss, whatever this process
remembers. An entry appears by a rename and each read verifies it, so processes share a folder
without locks between them. A damaged or foreign file costs one entry; an error of the folder
itself is a failure of the store.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError, StoreError
from kvtransfer.stores.disk.claim import ForeignFolderError
from kvtransfer.stores.disk.entries import DiskEntries, OnePathError
from kvtransfer.stores.disk.eviction import DiskEviction
from kvtransfer.stores.disk.file.chunk_file import file_bytes
from kvtransfer.stores.disk.file.parallel_io import ParallelIO
from kvtransfer.stores.disk.folder import ChunkFolder
from kvtransfer.stores.disk.listed_paths import entries_of, orphans_of
from kvtransfer.stores.disk.names import path_of
from kvtransfer.stores.disk.url import read_disk_url
from kvtransfer.stores.disk.write_gate import WriteGate
from kvtransfer.stores.feeds.folder import FolderFeed
from kvtransfer.stores.interface import Store, StoredEntry, any_length

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from kvtransfer.stores.disk.file.file_io import FileIO
    from kvtransfer.stores.disk.folder import OpenFolder
    from kvtransfer.stores.interface import LengthOf, Serves
    from kvtransfer.stores.record import ChunkFacts, ChunkRecord
    from kvtransfer.stores.settings import StoreSettings


class DiskStore(Store):
    """Keeps entries under ``root``, a folder that is made when it is first needed.

    Args:
        root: the folder.
        settings: ``ttl_s`` counts from when an entry was last put.
        limit_bytes: most bytes of all files, whichever process put them; None: until the disk is
            full.
        io: moves the bytes, and is closed here; None: system calls, on threads.
        prefix: what stands before the folder where logs name the store.
        clock: returns seconds since 1970.
        evicted: is told the chunk or piece of each entry that this process evicts.

    Raises:
        ConfigError: the folder holds something that isn't ours.
    """

    @classmethod
    def open(cls, url: str, settings: StoreSettings) -> DiskStore:
        """See :class:`Store`; ``url`` is ``disk:///path`` or ``file:///path?max_gib=100``."""
        path, limit_bytes = read_disk_url(url)
        prefix = f"{url.partition('://')[0]}://"
        return cls(path, settings, limit_bytes=limit_bytes, prefix=prefix)

    @classmethod
    def check(cls, url: str, settings: StoreSettings) -> None:
        """See :class:`Store`."""
        read_disk_url(url)

    @classmethod
    def open_feed(cls, url: str, settings: StoreSettings) -> FolderFeed:
        """See :class:`Store`."""
        return FolderFeed(read_disk_url(url)[0])

    def __init__(
        self,
        root: str,
        settings: StoreSettings,
        *,
        limit_bytes: int | None = None,
        io: FileIO | None = None,
        prefix: str = "disk://",
        clock: Callable[[], float] = time.time,
        evicted: Callable[[str], None] | None = None,
    ) -> None:
        self._timeout_s = settings.timeout_s
        self._limit_bytes = limit_bytes
        self._clock = clock
        self._folder = ChunkFolder(root)
        self.address = f"{prefix}{self._folder.root}"
        """The store as logs name it."""
        self._gate = WriteGate(self.address)
        self.eviction = DiskEviction(self._folder, limit_bytes, clock, evicted)
        """What this process knows of the folder, and what it evicts next."""
        io = io or ParallelIO(settings.connections)
        self._entries = DiskEntries(settings, self.eviction, io, clock)
        try:
            self._folder.refuse_foreign()
        except ForeignFolderError as error:
            raise ConfigError(str(error)) from None

    @property
    def gauges(self) -> Mapping[str, Callable[[], int]]:
        """See :class:`Store`."""
        return {"disk_used_bytes": self.eviction.used_bytes}

    def require_room(self, nbytes: int) -> None:
        """See :class:`Store`."""
        if self._limit_bytes is not None and self._limit_bytes < file_bytes(nbytes):
            raise ConfigError(
                f"{self.address} may hold {self._limit_bytes} bytes, but a chunk takes "
                f"{file_bytes(nbytes)}; raise max_local_storage_size, or max_gib in a URL"
            )

    def contains(self, keys: Sequence[str], length_of: LengthOf = any_length) -> list[bool]:
        """See :class:`Store`; reads the record of a file that is shorter than usual."""
        deadline_s = self._deadline_s()
        with self._opened() as folder:
            if folder is None:
                return [False] * len(keys)
            return [self._entries.has(folder, key, length_of(key), deadline_s) for key in keys]

    def get_into(self, key: str, buffer: memoryview, tenant: str = "") -> ChunkRecord | None:
        """See :class:`Store`."""
        deadline_s = self._deadline_s()
        record = None
        self.eviction.rescan_if_due()
        with self._opened() as folder:
            if folder is not None:
                record = self._entries.get_into(folder, key, buffer, tenant, deadline_s)
        if record is None:
            self.eviction.gone(path_of(key))
            return None
        self.eviction.used(path_of(key), file_bytes(record.identity.nbytes))
        return record

    def renew(self, key: str, serves: Serves) -> bool:
        """See :class:`Store`; False for an error too, which the put that follows will meet."""
        with suppress(OSError), self._folder.made() as folder:
            return self._entries.renew(folder, key, serves, self._deadline_s())
        return False

    def put(self, key: str, payload: memoryview, facts: ChunkFacts, tenant: str = "") -> bool:
        """See :class:`Store`; False, and no error, where the disk takes nothing."""
        if not self._gate.allows():
            return False
        deadline_s = self._deadline_s()
        try:
            with self._folder.made() as folder:
                self._entries.put(folder, key, payload, facts, tenant, deadline_s)
        except OSError as error:
            self._gate.failed(str(error))
            return False
        except OnePathError as error:
            self._gate.refused(str(error))
            self._gate.succeeded()
            return False
        self._gate.succeeded()
        return True

    def entries(self) -> Iterator[StoredEntry]:
        """See :class:`Store`; reads the record of each file."""
        return entries_of(self._records())

    def orphans(self) -> Iterator[str]:
        """See :class:`Store`; here those are files whose record can't be read or is another's."""
        return orphans_of(self._records())

    def stat(self, key: str) -> ChunkRecord | None:
        """See :class:`Store`."""
        with self._opened() as folder:
            if folder is None:
                return None
            record = self._entries.record(folder, path_of(key), self._deadline_s())
        return record if record and record.names(key) else None

    def remove(self, key: str) -> None:
        """See :class:`Store`."""
        with self._opened() as folder:
            if folder is not None:
                self._entries.remove(folder, key)

    def close(self) -> None:
        """See :class:`Store`."""
        self._entries.close()
        self.eviction.close()

    def _records(self) -> Iterator[tuple[str, ChunkRecord | None]]:
        """Yield the path of each entry, and its record; None where it can't be read."""
        with self._opened() as folder:
            if folder is None:
                return
            for entry in folder.entries(self._clock()):
                yield entry.path, self._entries.record(folder, entry.path, self._deadline_s())

    def _deadline_s(self) -> float:
        """Return the deadline of a call that begins now, by ``time.monotonic``."""
        return time.monotonic() + self._timeout_s

    @contextmanager
    def _opened(self) -> Iterator[OpenFolder | None]:
        """Open the folder for the body, whose ``OSError`` becomes a :class:`StoreError`."""
        try:
            with self._folder.opened() as folder:
                yield folder
        except OSError as error:
            raise StoreError(f"{self.address}: {error.strerror or error}") from None
