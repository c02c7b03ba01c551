"""A lock that one process of a user holds, with a text for those who find it held."""

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
    """The file ``path``, in a folder of this user alone.

    It is held until ``close``, or until the process ends. A fork closes its copy of the file: the
    lock would stay held as long as the fork lives, with nobody behind it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor: int | None = os.open(path, flags, 0o600)
        forked = weakref.WeakMethod(self.close)
        os.register_at_fork(after_in_child=lambda: (close := forked()) and close())

    def is_taken(self) -> bool:
        """Whether it is ours now; False: another one holds it."""
        assert self._descriptor is not None
        with suppress(BlockingIOError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def read(self) -> str:
        """What who holds it has written."""
        assert self._descriptor is not None
        return os.pread(self._descriptor, 1 << 16, 0).decode(errors="replace")

    def write(self, text: str) -> None:
        """For those who find it held; only while it is ours."""
        assert self._descriptor is not None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)

    def close(self) -> None:
        """Let it go; again is harmless."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def private_folder(folder: Path) -> Path:
    """``folder``, made if need be, in which only this user can read and write.

    Raises:
        ConfigError: it is another user's, open to others, or no folder.
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
