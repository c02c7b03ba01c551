"""Entries as files in a folder, on a disk of this machine or a mounted one.

The folder is the truth: what isn't there under its name is a miss, whatever this process believes.
An entry appears by rename and each read verifies it, so processes share the folder without talking
to each other. Anything else that lies where an entry should be costs that entry alone; an error of
the folder itself is the store's.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError, StoreError
from kvtransfer.stores.disk.chunk_file import ChunkFiles, file_bytes
from kvtransfer.stores.disk.claim import ForeignFolderError
from kvtransfer.stores.disk.direct_io import ShortFileError
from kvtransfer.stores.disk.entry_times import EntryTimes
from kvtransfer.stores.disk.folder import DiskFolder, is_of_one_path
from kvtransfer.stores.disk.names import path_of
from kvtransfer.stores.disk.room import DiskRoom
from kvtransfer.stores.disk.url import read_disk_url
from kvtransfer.stores.disk.write_gate import WriteGate
from kvtransfer.stores.interface import Store, StoredEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from kvtransfer.stores.disk.folder import OpenFolder
    from kvtransfer.stores.record import ChunkFacts, ChunkRecord
    from kvtransfer.stores.seals.seal import Sealed
    from kvtransfer.stores.settings import StoreSettings

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DiskStore(Store):
    """Entries under ``root``, which is made when it is first needed.

    Args:
        root: the folder.
        settings: ``ttl_s`` counts from when an entry was last put.
        limit_bytes: all files together, whichever process put them; None: until the disk is full.
        clock: seconds since 1970.

    Raises:
        ConfigError: the folder holds what isn't ours.
    """

    @classmethod
    def open(cls, url: str, settings: StoreSettings) -> DiskStore:
        """See :class:`Store`; at ``disk:///path``, which ``?max_gib=100`` limits."""
        path, limit_bytes = read_disk_url(url)
        return cls(path, settings, limit_bytes=limit_bytes)

    @classmethod
    def check(cls, url: str, settings: StoreSettings) -> None:
        """See :class:`Store`."""
        read_disk_url(url)

    def __init__(
        self,
        root: str,
        settings: StoreSettings,
        *,
        limit_bytes: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._times = EntryTimes(settings, clock)
        self._files = ChunkFiles(settings.seals, settings.connections)
        self._folder = DiskFolder(root)
        self.address = f"disk://{self._folder.root}"
        """For logs."""
        self._gate = WriteGate(self.address)
        self._limit_bytes = limit_bytes
        self._clock = clock
        self.room = DiskRoom(self._folder, limit_bytes, clock)
        """What is known of the folder, and what goes next."""
        try:
            self._folder.refuse_foreign()
        except ForeignFolderError as error:
            raise ConfigError(str(error)) from None

    @property
    def gauges(self) -> Mapping[str, Callable[[], int]]:
        """See :class:`Store`."""
        return {"disk_used_bytes": self.room.used_bytes}

    def require_room(self, nbytes: int) -> None:
        """See :class:`Store`."""
        if self._limit_bytes is not None and self._limit_bytes < file_bytes(nbytes):
            raise ConfigError(
                f"{self.address} may hold {self._limit_bytes} bytes, but a chunk takes "
                f"{file_bytes(nbytes)}; raise max_local_storage_size"
            )

    def contains(self, keys: Sequence[str], nbytes: int | None = None) -> list[bool]:
        """See :class:`Store`; without ``nbytes`` a file of any length counts."""
        deadline_s = self._deadline_s()
        wanted_bytes = None if nbytes is None else file_bytes(nbytes)
        with self._answering(), self._folder.opened() as folder:
            if folder is None:
                return [False] * len(keys)
            return [self._has(folder, path_of(key), wanted_bytes, deadline_s) for key in keys]

    def get_into(self, key: str, buffer: memoryview, tenant: str = "") -> ChunkRecord | None:
        """See :class:`Store`."""
        deadline_s = self._deadline_s()
        path = path_of(key)
        record = None
        self.room.take_stock_now_and_then()
        with self._answering(), self._folder.opened() as folder:
            if folder is not None:
                record = self._get(folder, key, buffer, tenant, deadline_s)
        if record is None:
            self.room.gone(path)
            return None
        self.room.used(path, file_bytes(record.identity.nbytes))
        return record

    def put(self, key: str, payload: memoryview, facts: ChunkFacts, tenant: str = "") -> bool:
        """See :class:`Store`; False where the disk takes nothing."""
        if not self._gate.allows():
            return False
        deadline_s = self._deadline_s()
        try:
            with self._folder.made() as folder:
                is_taken = self._put(folder, key, payload, facts, tenant, deadline_s)
        except OSError as error:
            self._gate.failed(str(error))
            return False
        self._gate.succeeded()
        return is_taken

    def entries(self) -> Iterator[StoredEntry]:
        """See :class:`Store`; reads the record of each file."""
        with self._answering(), self._folder.opened() as folder:
            if folder is None:
                return
            for entry in folder.entries(self._clock()):
                record = self._record(folder, entry.path)
                if record is not None and path_of(record.identity.key) == entry.path:
                    yield StoredEntry.of(record)

    def stat(self, key: str) -> ChunkRecord | None:
        """See :class:`Store`."""
        with self._answering(), self._folder.opened() as folder:
            record = None if folder is None else self._record(folder, path_of(key))
        return record if record and record.names(key) else None

    def remove(self, key: str) -> None:
        """See :class:`Store`."""
        with self._answering(), self._folder.opened() as folder:
            if folder is not None:
                self._remove(folder, path_of(key))

    def close(self) -> None:
        """See :class:`Store`."""
        self._files.close()
        self.room.close()

    def _deadline_s(self) -> float:
        """Of a call that begins now, by ``time.monotonic``."""
        return time.monotonic() + self._settings.timeout_s

    def _has(
        self, folder: OpenFolder, path: str, wanted_bytes: int | None, deadline_s: float
    ) -> bool:
        if time.monotonic() > deadline_s:
            raise TimeoutError("no answer in time")
        found = folder.stat(path)
        if found is None:
            return False
        if self._times.are_over(found):
            self._remove(folder, path)
            return False
        return wanted_bytes is None or found.st_size == wanted_bytes

    def _get(
        self, folder: OpenFolder, key: str, buffer: memoryview, tenant: str, deadline_s: float
    ) -> ChunkRecord | None:
        path = path_of(key)
        with folder.file(path) as fd:
            if fd is not None and (record := self._read(fd, key, buffer, tenant, deadline_s)):
                self._times.note_use(fd)
                return record
        self._remove(folder, path)
        return None

    def _read(
        self, fd: int, key: str, buffer: memoryview, tenant: str, deadline_s: float
    ) -> ChunkRecord | None:
        found = os.fstat(fd)
        if self._times.are_over(found):
            return None
        record = None
        with _damage_is_nothing():
            record = self._files.read(fd, found.st_size, key, buffer, tenant, deadline_s)
        return record

    def _record(self, folder: OpenFolder, path: str) -> ChunkRecord | None:
        """The record at ``path``, unless its entry is over."""
        record = None
        with folder.file(path) as fd, _damage_is_nothing():
            if fd is not None and not self._times.are_over(found := os.fstat(fd)):
                record = self._files.record(fd, found.st_size, self._deadline_s())
        return record

    def _put(
        self,
        folder: OpenFolder,
        key: str,
        payload: memoryview,
        facts: ChunkFacts,
        tenant: str,
        deadline_s: float,
    ) -> bool:
        """Whether it is there now; an error that only its place has is told and costs it alone."""
        try:
            if not self._renew(folder, key, facts, len(payload), deadline_s):
                self.room.make(file_bytes(len(payload)))
                with self._settings.seals.sealed(key, facts, payload, tenant) as sealed:
                    self._add(folder, path_of(key), sealed, deadline_s)
        except OSError as error:
            if not is_of_one_path(error):
                raise
            self._gate.refused(f"{path_of(key)}: {error.strerror}")
            return False
        return True

    def _add(self, folder: OpenFolder, path: str, sealed: Sealed, deadline_s: float) -> None:
        nbytes = file_bytes(len(sealed.payload))
        try:
            self._write(folder, path, sealed, deadline_s)
        except OSError as error:
            if error.errno not in _NO_ROOM or not self.room.free(2 * nbytes):
                raise
            self._write(folder, path, sealed, deadline_s)
        self.room.added(path, nbytes)

    def _renew(
        self, folder: OpenFolder, key: str, facts: ChunkFacts, nbytes: int, deadline_s: float
    ) -> bool:
        """Whether the entry is there already; it is as if it was put now."""
        path = path_of(key)
        with folder.file(path) as fd, suppress(ShortFileError):
            if fd is None or (found_bytes := os.fstat(fd).st_size) != file_bytes(nbytes):
                return False
            record = self._files.record(fd, found_bytes, deadline_s)
            if record is None or not record.names(key):
                return False
            if not self._settings.seals.keep(record, facts, nbytes):
                return False
            self._times.renew(fd)
            self.room.used(path, found_bytes)
            return True
        return False

    def _write(self, folder: OpenFolder, path: str, sealed: Sealed, deadline_s: float) -> None:
        with folder.new_file(path) as file:
            self._files.write(file.fd, sealed, deadline_s)
            self._times.renew(file.fd)
            file.publish()

    def _remove(self, folder: OpenFolder, path: str) -> None:
        with suppress(OSError):  # not ours to delete, or gone already
            folder.remove(path)
        self.room.gone(path)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(f"{self.address}: {error.strerror or error}") from None


@contextmanager
def _damage_is_nothing() -> Iterator[None]:
    """Swallow what one damaged or foreign file brings about."""
    try:
        yield
    except OSError as error:
        if not isinstance(error, ShortFileError) and not is_of_one_path(error):
            raise
