"""Where the entries of a disk store lie, and what a writer calls a file that isn't one yet."""

from __future__ import annotations

import hashlib
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUFFIX = ".kv"
_TEMPORARIES = ".tmp"
# Names may have 255 bytes.
_LONGEST_OWNER = 200
# Of another machine's writer: long enough for the slowest write, and for clocks that differ.
_ABANDONED_S = 3600.0


@dataclass(frozen=True)
class Entry:
    """A file with a chunk, as far as its name and its size tell."""

    path: str
    nbytes: int
    used_s: float
    """Seconds since 1970 at which it was last put or read."""


class DiskFolder:
    """``root/owner/ha/hash.kv``: a model can be removed by hand, and no folder grows large."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)
        self._temporaries = os.path.join(self.root, _TEMPORARIES)
        self._host = socket.gethostname().replace("@", "-")

    def path(self, key: str) -> str:
        """Of the entry of the base key ``key``."""
        owner, _, chunk_hash = key.replace("/", "%2F").rpartition("@")
        if len(owner) > _LONGEST_OWNER:
            digest = hashlib.sha256(owner.encode()).hexdigest()[:32]
            owner = f"{owner[: _LONGEST_OWNER - 40]}~{digest}"
        return os.path.join(self.root, owner, chunk_hash[:2], chunk_hash + _SUFFIX)

    def create_temporary(self) -> tuple[str, int]:
        """A new file, open for writing, and its path; nobody takes it for an entry."""
        name = f"{self._host}@{os.getpid()}@{os.urandom(8).hex()}"
        path = os.path.join(self._temporaries, name)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        try:
            return path, os.open(path, flags, 0o600)
        except FileNotFoundError:
            os.makedirs(self._temporaries, 0o700, exist_ok=True)
            return path, os.open(path, flags, 0o600)

    def publish(self, temporary: str, path: str) -> None:
        """From now on ``temporary`` is the entry at ``path``, all of it at once."""
        try:
            os.rename(temporary, path)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            os.rename(temporary, path)

    def entries(self) -> Iterator[Entry]:
        """All that look like one; those that vanish meanwhile are left out."""
        for owner in _listed(self.root):
            if owner.name == _TEMPORARIES:
                continue
            for fan in _listed(owner.path):
                yield from _entries(fan.path)

    def remove_leftovers(self, now_s: float) -> None:
        """Delete temporaries whose writer is gone; ``now_s`` is seconds since 1970."""
        for file in _listed(self._temporaries):
            with suppress(OSError):
                if self._is_abandoned(file, now_s):
                    os.unlink(file.path)

    def _is_abandoned(self, file: os.DirEntry[str], now_s: float) -> bool:
        host, _, rest = file.name.partition("@")
        pid = rest.partition("@")[0]
        if host == self._host and pid.isdigit() and not _is_alive(int(pid)):
            return True
        return now_s - file.stat().st_mtime > _ABANDONED_S


def _listed(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as listing:
            return list(listing)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _entries(folder: str) -> Iterator[Entry]:
    for file in _listed(folder):
        if file.name.endswith(_SUFFIX):
            with suppress(FileNotFoundError):
                stat = file.stat()
                yield Entry(file.path, stat.st_size, stat.st_atime)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
