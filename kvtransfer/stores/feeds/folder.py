"""Keeps feeds in the folder of a disk store, one file a payload.

The files are ``passages/topic/name``; no entry of the store is called that, nor listed there. Names
begin with the time, so that the oldest files of all topics can be told, and they end with chance. A
file appears by a rename, perhaps after one with a later name: readers remember which they have read.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from contextlib import contextmanager, suppress
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from kvtransfer.errors import StoreError
from kvtransfer.stores.disk.folder import ChunkFolder
from kvtransfer.stores.feeds.interface import MOST_PAYLOAD_BYTES, as_many, require_short

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kvtransfer.stores.disk.folder import OpenFolder

FEEDS = "passages"
"""The folder of all topics."""

_TOPIC = re.compile(r"[0-9a-f]{1,64}")
_NAME = re.compile(r"[0-9a-f]{32}")
_MOST_FILES = 4096
_MOST_BYTES = 256 << 20
# Only a listing shows what other processes have appended; each process makes one now and then.
_APPENDS_PER_LISTING = 16


class _File(NamedTuple):
    name: str
    topic: str
    nbytes: int

    @property
    def path(self) -> str:
        return f"{FEEDS}/{self.topic}/{self.name}"


class FolderFeed:
    """Feeds in the store's folder ``root``; see :class:`kvtransfer.stores.feeds.interface.Feed`."""

    def __init__(
        self, root: str, *, most_files: int = _MOST_FILES, most_bytes: int = _MOST_BYTES
    ) -> None:
        self._folder = ChunkFolder(root)
        self._most_files = most_files
        self._most_bytes = most_bytes
        self._appends = 0

    def append(self, topic: str, payload: bytes) -> None:
        """See :class:`Feed`; deletes the oldest files of all topics where there are too many."""
        require_short(payload)
        name = f"{time.time_ns():016x}{secrets.token_hex(8)}"
        with _failing(self._folder), self._folder.made() as folder:
            with folder.new_file(f"{FEEDS}/{topic}/{name}") as file:
                _write(file.fd, payload)
                file.publish()
            if self._appends % _APPENDS_PER_LISTING == 0:
                self._delete_oldest(folder)
            self._appends += 1

    def reader(self, topic: str) -> FolderFeedReader:
        """See :class:`Feed`."""
        return FolderFeedReader(self._folder, topic)

    def close(self) -> None:
        """See :class:`Feed`."""

    def _delete_oldest(self, folder: OpenFolder) -> None:
        topics = list(filter(_TOPIC.fullmatch, folder.folders(FEEDS)))
        files = (_files(folder, topic, _names(folder, topic)) for topic in topics)
        newest_first = sorted(chain.from_iterable(files), reverse=True)
        nbytes = 0
        for at, file in enumerate(newest_first):
            nbytes += file.nbytes
            if at >= self._most_files or nbytes > self._most_bytes:
                with suppress(OSError):  # another process was first, or it is another user's
                    folder.remove(file.path)
        for topic in topics:
            folder.remove_empty(FEEDS, topic)


class FolderFeedReader:
    """Reads ``topic``; see :class:`kvtransfer.stores.feeds.interface.FeedReader`."""

    def __init__(self, folder: ChunkFolder, topic: str) -> None:
        self._folder = folder
        self._topic = topic
        self._read: frozenset[str] | None = None
        """Names of the files that were read and are still there; None before the first call."""

    def read(self, most_bytes: int) -> list[bytes]:
        """See :class:`FeedReader`."""
        with _failing(self._folder), self._folder.opened() as folder:
            if folder is None:
                self._read = frozenset()
                return []
            payloads = self._payloads(folder, _names(folder, self._topic), most_bytes)
        return [payload for payload in payloads if payload]

    def _payloads(
        self, folder: OpenFolder, names: frozenset[str], most_bytes: int
    ) -> Sequence[bytes]:
        """Read files among ``names`` that were not read, oldest first; empty for those that are gone."""
        is_first, read = self._read is None, self._read or frozenset()
        order = sorted(names - read, reverse=is_first)
        files = as_many(_files(folder, self._topic, order), _read_bytes, most_bytes)
        payloads = [_payload(folder, file) for file in files]
        self._read = names if is_first else (read & names) | {file.name for file in files}
        return payloads[::-1] if is_first else payloads


def _read_bytes(file: _File) -> int:
    """Return at most how many bytes of ``file`` are read."""
    return min(file.nbytes, MOST_PAYLOAD_BYTES)


def _names(folder: OpenFolder, topic: str) -> frozenset[str]:
    """Return the names that may be files of ``topic``."""
    with suppress(NotADirectoryError):
        return frozenset(filter(_NAME.fullmatch, folder.names(FEEDS, topic)))
    return frozenset()


def _files(folder: OpenFolder, topic: str, names: Iterable[str]) -> Iterator[_File]:
    """Yield the files of ``topic`` among ``names``, in their order."""
    for name in names:
        found = folder.stat(f"{FEEDS}/{topic}/{name}")
        if found is not None:
            yield _File(name, topic, found.st_size)


def _payload(folder: OpenFolder, file: _File) -> bytes:
    """Read ``file``; empty where it is gone, or too long for a payload."""
    if file.nbytes > MOST_PAYLOAD_BYTES:
        return b""
    with folder.file(file.path) as fd:
        return b"" if fd is None else b"".join(_pieces(fd, file.nbytes))


def _pieces(fd: int, nbytes: int) -> Iterable[bytes]:
    while nbytes > 0 and (piece := os.read(fd, nbytes)):
        nbytes -= len(piece)
        yield piece


def _write(fd: int, payload: bytes) -> None:
    rest = memoryview(payload)
    while rest:
        rest = rest[os.write(fd, rest) :]


@contextmanager
def _failing(folder: ChunkFolder) -> Iterator[None]:
    """Raise :class:`StoreError` for an ``OSError`` of the body."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"disk://{folder.root}: {error.strerror or error}") from None
