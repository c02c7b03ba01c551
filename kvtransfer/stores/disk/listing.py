"""Lists the entries in a disk store's folder, by exact names and through no link."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.stores.disk.names import is_chunk, is_fan, is_owner, is_temporary
from kvtransfer.stores.disk.temporary import remove_abandoned

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True)
class Entry:
    """A file that holds a chunk, as far as its name tells; its content isn't verified."""

    path: str
    """The path from the store's folder."""
    nbytes: int
    """Length of the file."""
    used_s: float
    """Seconds since 1970 at which it was last put or read."""


def entries(root: int, now_s: float) -> Iterator[Entry]:
    """Yield the entries, in no order, and delete temporary files that dead writers left.

    Args:
        root: a descriptor of the folder.
        now_s: seconds since 1970.
    """
    for owner in filter(is_owner, _listed(root)):
        with suppress(OSError), entered(owner, root) as owner_fd:
            for fan in filter(is_fan, _listed(owner_fd)):
                yield from _entries_of(f"{owner}/{fan}", fan, owner_fd, now_s)


def names(folder: int, now_s: float) -> list[str]:
    """Return the names in the open ``folder``, without temporary files; abandoned ones go."""
    kept = []
    for name in _listed(folder):
        if is_temporary(name):
            remove_abandoned(folder, name, now_s)
        else:
            kept.append(name)
    return kept


@contextmanager
def entered(name: str, parent: int | None = None) -> Iterator[int]:
    """Open the folder ``name`` for the body; a folder in a ``parent`` must not be a link."""
    flags = FOLDER if parent is None else FOLDER | os.O_NOFOLLOW
    fd = os.open(name, flags, dir_fd=parent)
    try:
        yield fd
    finally:
        os.close(fd)


def _entries_of(folder: str, fan: str, parent: int, now_s: float) -> Iterator[Entry]:
    with suppress(OSError), entered(fan, parent) as fd:
        for name in _listed(fd):
            if is_temporary(name):
                remove_abandoned(fd, name, now_s)
            elif is_chunk(name, fan):
                with suppress(OSError):
                    found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    if stat.S_ISREG(found.st_mode):
                        yield Entry(f"{folder}/{name}", found.st_size, found.st_atime)


def _listed(fd: int) -> list[str]:
    with os.scandir(fd) as listing:
        return [entry.name for entry in listing]
