"""Locks a file for one process of a user, with a text for the others."""

from __future__ import annotations

import fcntl
import os
import stat
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


class ProcessLock:
    """A lock on the file ``path``, in a folder of this user alone.

    It is held until ``close``, or until the process ends. A fork closes its copy of the file, as
    that would keep the lock held after its owner has ended.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor: int | None = os.open(path, flags, 0o600)
        forked = weakref.WeakMethod(self.close)
        os.register_at_fork(after_in_child=lambda: (close := forked()) and close())

    def is_taken(self) -> bool:
        """Try to take the lock; whether this process holds it now."""
        assert self._descriptor is not None
        with suppress(BlockingIOError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def read(self) -> str:
        """Return the text that the holder of the lock has written."""
        assert self._descriptor is not None
        return os.pread(self._descriptor, 1 << 16, 0).decode(errors="replace")

    def write(self, text: str) -> None:
        """Write the text for other processes; only while this one holds the lock."""
        assert self._descriptor is not None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)

    def close(self) -> None:
        """Release the lock; calling it again does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def private_folder(folder: Path) -> Path:
    """Return ``folder``, made if need be, which only this user can read and write.

    Raises:
        ConfigError: the path is another user's, open to others, or no folder.
    """
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
    except OSError as error:
        raise ConfigError(f"{folder} can't be made: {error.strerror}") from None
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"{folder} must be a folder: remove it")
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ConfigError(f"{folder} must belong to this user alone: remove it")
    return folder
