"""Chunks as files in a folder, on a disk of this machine or a mounted one.

The folder is the truth: what isn't there under its name, in its size, is a miss, whatever this
process believes. An entry appears by rename and is verified by each read, so processes share the
folder without a word between them. Whatever else lies where an entry should be costs that entry
alone; an error of the folder itself is the store's.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError, StoreError
from kvtransfer.stores.disk.chunk_file import ChunkFiles
from kvtransfer.stores.disk.claim import ForeignFolderError
from kvtransfer.stores.disk.direct_io import ShortFileError
from kvtransfer.stores.disk.entry_times import EntryTimes
from kvtransfer.stores.disk.folder import DiskFolder, is_of_one_path
from kvtransfer.stores.disk.names import path_of
from kvtransfer.stores.disk.room import DiskRoom
from kvtransfer.stores.disk.url import read_disk_url
from kvtransfer.stores.disk.write_gate import WriteGate
from kvtransfer.stores.record import whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kvtransfer.chunks.layout import ChunkFormat
    from kvtransfer.stores import StoreSettings
    from kvtransfer.stores.disk.folder import OpenFolder
    from kvtransfer.stores.seals.seal import Sealed

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DiskStore:
    """Payloads of one format under ``root``, which is made when it is first needed.

    Args:
        root: the folder.
        chunk: what every payload is.
        settings: ``ttl_s`` counts from when an entry was last put.
        limit_bytes: all files together, whoever put them; None: until the disk is full.
        clock: seconds since 1970.

    Raises:
        ConfigError: the limit leaves no room for a chunk, or the folder holds what isn't ours.
    """

    def __init__(
        self,
        root: str,
        chunk: ChunkFormat,
        settings: StoreSettings,
        *,
        limit_bytes: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._chunk = chunk
        self._settings = settings
        self._times = EntryTimes(settings, clock)
        self._files = ChunkFiles(chunk, settings.seals, settings.connections)
        self._folder = DiskFolder(root)
        self.address = f"disk://{self._folder.root}"
        """For logs."""
        self._gate = WriteGate(self.address)
        self.room = DiskRoom(self._folder, limit_bytes, clock)
        """What is known of the folder, and what goes next."""
        if limit_bytes is not None and limit_bytes < self._files.nbytes:
            raise ConfigError(
                f"{self.address} may hold {limit_bytes} bytes, but a chunk takes "
                f"{self._files.nbytes}; raise max_local_storage_size"
            )
        try:
            self._folder.refuse_foreign()
        except ForeignFolderError as error:
            raise ConfigError(str(error)) from None

    @classmethod
    def open(cls, url: str, chunk: ChunkFormat, settings: StoreSettings) -> DiskStore:
        """At ``disk:///path``; ``?max_gib=100`` limits it.

        Raises:
            ConfigError: the URL is malformed, or leaves no room for a chunk.
        """
        path, limit_bytes = read_disk_url(url)
        return cls(path, chunk, settings, limit_bytes=limit_bytes)

    def contains(self, keys: Sequence[str]) -> list[bool]:
        """See :class:`kvtransfer.stores.Store`."""
        deadline_s = time.monotonic() + self._settings.timeout_s
        with self._answering(), self._folder.opened() as folder:
            if folder is None:
                return [False] * len(keys)
            return [self._has(folder, path_of(key), deadline_s) for key in keys]

    def get_into(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        """See :class:`kvtransfer.stores.Store`."""
        target = whole(payload, self._chunk)
        deadline_s = time.monotonic() + self._settings.timeout_s
        path = path_of(key)
        self.room.take_stock_now_and_then()
        with self._answering(), self._folder.opened() as folder:
            if folder is None or not self._get(folder, key, target, tenant, deadline_s):
                self.room.gone(path)
                return False
        self.room.used(path, self._files.nbytes)
        return True

    def put(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        """See :class:`kvtransfer.stores.Store`; False where the disk takes nothing."""
        source = whole(payload, self._chunk)
        if not self._gate.allows():
            return False
        deadline_s = time.monotonic() + self._settings.timeout_s
        try:
            with self._folder.made() as folder:
                is_taken = self._put(folder, key, source, tenant, deadline_s)
        except OSError as error:
            self._gate.failed(str(error))
            return False
        self._gate.succeeded()
        return is_taken

    def close(self) -> None:
        """See :class:`kvtransfer.stores.Store`."""
        self._files.close()
        self.room.close()

    def _has(self, folder: OpenFolder, path: str, deadline_s: float) -> bool:
        if time.monotonic() > deadline_s:
            raise TimeoutError("no answer in time")
        found = folder.stat(path)
        if found is None:
            return False
        if self._times.are_over(found):
            self._remove(folder, path)
            return False
        return found.st_size == self._files.nbytes

    def _get(
        self, folder: OpenFolder, key: str, target: memoryview, tenant: str, deadline_s: float
    ) -> bool:
        path = path_of(key)
        with folder.file(path) as fd:
            if fd is not None and self._read(fd, key, target, tenant, deadline_s):
                self._times.note_use(fd)
                return True
        self._remove(folder, path)
        return False

    def _read(self, fd: int, key: str, target: memoryview, tenant: str, deadline_s: float) -> bool:
        found = os.fstat(fd)
        if found.st_size != self._files.nbytes or self._times.are_over(found):
            return False
        try:
            return self._files.read(fd, key, target, tenant, deadline_s)
        except OSError as error:
            if isinstance(error, ShortFileError) or is_of_one_path(error):
                return False
            raise

    def _put(
        self, folder: OpenFolder, key: str, source: memoryview, tenant: str, deadline_s: float
    ) -> bool:
        """Whether it is there now; an error that only its place has is told and costs it alone."""
        try:
            if not self._renew(folder, key, deadline_s):
                self._add(folder, key, source, tenant, deadline_s)
        except OSError as error:
            if not is_of_one_path(error):
                raise
            self._gate.refused(f"{path_of(key)}: {error.strerror}")
            return False
        return True

    def _add(
        self, folder: OpenFolder, key: str, source: memoryview, tenant: str, deadline_s: float
    ) -> None:
        path = path_of(key)
        self.room.make(self._files.nbytes)
        with self._settings.seals.sealed(key, self._chunk, source, tenant) as sealed:
            try:
                self._write(folder, path, sealed, deadline_s)
            except OSError as error:
                if error.errno not in _NO_ROOM or not self.room.free(2 * self._files.nbytes):
                    raise
                self._write(folder, path, sealed, deadline_s)
        self.room.added(path, self._files.nbytes)

    def _renew(self, folder: OpenFolder, key: str, deadline_s: float) -> bool:
        """Whether the entry is there already; it is as if it was put now."""
        path = path_of(key)
        with folder.file(path) as fd, suppress(ShortFileError):
            if fd is None or os.fstat(fd).st_size != self._files.nbytes:
                return False
            if not self._files.holds(fd, key, deadline_s):
                return False
            self._times.renew(fd)
            self.room.used(path, self._files.nbytes)
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
