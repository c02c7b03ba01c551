"""Finds, reads, writes and removes entries in the open folder of a disk store."""

from __future__ import annotations

import errno
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from kvtransfer.stores.disk.entry_times import EntryTimes
from kvtransfer.stores.disk.file.chunk_file import ChunkFiles, file_bytes
from kvtransfer.stores.disk.file.direct_io import ShortFileError
from kvtransfer.stores.disk.folder import is_of_one_path
from kvtransfer.stores.disk.names import path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kvtransfer.stores.disk.eviction import DiskEviction
    from kvtransfer.stores.disk.file.file_io import FileIO
    from kvtransfer.stores.disk.folder import OpenFolder
    from kvtransfer.stores.interface import Serves
    from kvtransfer.stores.record import ChunkFacts, ChunkRecord
    from kvtransfer.stores.seals.seal import Sealed
    from kvtransfer.stores.settings import StoreSettings

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class OnePathError(Exception):
    """An entry can't be written, for a reason that its path alone has; the text names both."""


class DiskEntries:
    """Works on entries in a folder that the caller has opened; safe to call from several threads.

    It tells ``eviction`` what it puts, uses and removes. Each method raises ``OSError`` for an
    error of the folder or the disk, and ``TimeoutError`` where ``deadline_s`` of
    ``time.monotonic`` has passed. A damaged or foreign file is a missing entry. ``io`` moves bytes,
    and is closed here. ``clock`` returns seconds since 1970.
    """

    def __init__(
        self,
        settings: StoreSettings,
        eviction: DiskEviction,
        io: FileIO,
        clock: Callable[[], float],
    ) -> None:
        self._seals = settings.seals
        self._only_reads = settings.only_reads
        self._times = EntryTimes(settings, clock)
        self._files = ChunkFiles(settings.seals, io)
        self._eviction = eviction

    def has(self, folder: OpenFolder, key: str, nbytes: int | None, deadline_s: float) -> bool:
        """Whether the file of ``key`` is there, for a chunk of ``nbytes``; None allows any length.

        One that is shorter may hold a compressed chunk, and is judged by its record. An entry that
        has outlived its time is removed.
        """
        if time.monotonic() > deadline_s:
            raise TimeoutError("no answer in time")
        found = folder.stat(path_of(key))
        if found is None:
            return False
        if self._times.are_over(found):
            self.remove(folder, key)
            return False
        if nbytes is None or found.st_size == file_bytes(nbytes):
            return True
        return found.st_size < file_bytes(nbytes) and self._is_entry(folder, key, deadline_s)

    def get_into(
        self, folder: OpenFolder, key: str, buffer: memoryview, tenant: str, deadline_s: float
    ) -> ChunkRecord | None:
        """Fill ``buffer`` as ``Store.get_into`` does; remove what is no entry of ``key``."""
        with folder.file(path_of(key)) as fd:
            if fd is not None:
                if record := self._read(fd, key, buffer, tenant, deadline_s):
                    if not self._only_reads:
                        self._times.note_use(fd)
                    return record
                if folder.is_replaced(path_of(key), fd):
                    return None  # what lies there now was not read
        if not self._only_reads:
            self.remove(folder, key)
        return None

    def renew(self, folder: OpenFolder, key: str, serves: Serves, deadline_s: float) -> bool:
        """Begin a new time to live of the entry that is there; False where none may be kept."""
        path = path_of(key)
        with folder.file(path) as fd, suppress(ShortFileError):
            if fd is None:
                return False
            found_bytes = os.fstat(fd).st_size
            record = self._files.record(fd, found_bytes, deadline_s)
            if record is None or not record.names(key) or not self._seals.keep(record, serves):
                return False
            self._times.renew(fd)
            self._eviction.used(path, found_bytes)
            return True
        return False

    def put(
        self,
        folder: OpenFolder,
        key: str,
        payload: memoryview,
        facts: ChunkFacts,
        tenant: str,
        deadline_s: float,
    ) -> None:
        """Hold ``payload`` as ``Store.put`` does; evict others where it needs room.

        Raises:
            OnePathError: something else lies at the path of the entry, or above it.
        """
        path = path_of(key)
        try:
            self._eviction.reserve(file_bytes(len(payload)))
            with self._seals.sealed(key, facts, payload, tenant) as sealed:
                self._add(folder, path, sealed, deadline_s)
        except OSError as error:
            if not is_of_one_path(error):
                raise
            raise OnePathError(f"{path}: {error.strerror}") from None

    def record(self, folder: OpenFolder, path: str, deadline_s: float) -> ChunkRecord | None:
        """Return the record in the file at ``path``; None for no entry, or one that is over."""
        record = None
        with folder.file(path) as fd, _damage_ignored():
            if fd is not None and not self._times.are_over(found := os.fstat(fd)):
                record = self._files.record(fd, found.st_size, deadline_s)
        return record

    def remove(self, folder: OpenFolder, key: str) -> None:
        """Delete the file of ``key``, if it is there and ours to delete."""
        with suppress(OSError):
            folder.remove(path_of(key))
        self._eviction.gone(path_of(key))

    def close(self) -> None:
        """Close what reads and writes; no other call may be running or follow."""
        self._files.close()

    def _is_entry(self, folder: OpenFolder, key: str, deadline_s: float) -> bool:
        record = self.record(folder, path_of(key), deadline_s)
        return record is not None and record.names(key)

    def _read(
        self, fd: int, key: str, buffer: memoryview, tenant: str, deadline_s: float
    ) -> ChunkRecord | None:
        found = os.fstat(fd)
        if self._times.are_over(found):
            return None
        record = None
        with _damage_ignored():
            record = self._files.read(fd, found.st_size, key, buffer, tenant, deadline_s)
        return record

    def _add(self, folder: OpenFolder, path: str, sealed: Sealed, deadline_s: float) -> None:
        nbytes = file_bytes(len(sealed.payload))
        try:
            self._write(folder, path, sealed, deadline_s)
        except OSError as error:
            if error.errno not in _NO_ROOM or not self._eviction.evict(2 * nbytes):
                raise
            self._write(folder, path, sealed, deadline_s)
        self._eviction.added(path, nbytes)

    def _write(self, folder: OpenFolder, path: str, sealed: Sealed, deadline_s: float) -> None:
        with folder.new_file(path) as file:
            self._files.write(file.fd, sealed, deadline_s)
            self._times.renew(file.fd)
            file.publish()


@contextmanager
def _damage_ignored() -> Iterator[None]:
    """Swallow the errors that one damaged or foreign file can cause."""
    try:
        yield
    except OSError as error:
        if not isinstance(error, ShortFileError) and not is_of_one_path(error):
            raise
