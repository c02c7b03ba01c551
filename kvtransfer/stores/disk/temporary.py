"""Writes files that aren't entries yet; a lock on each shows that its writer lives."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from kvtransfer.stores.disk.names import is_of_this_boot, new_temporary

if TYPE_CHECKING:
    from collections.abc import Iterator

_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
# Locking over NFS needs a file that is open for writing.
_OLD = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
# Other machines may not see the lock: longer than the slowest write and the error of their clocks.
_ABANDONED_S = 3600.0
_TRIES = 3


class Temporary:
    """A new, locked file in the folder ``folder``, open for writing as ``fd``."""

    @classmethod
    @contextmanager
    def create(cls, folder: int, chunk: str, mode: int) -> Iterator[Temporary]:
        """Make a file beside ``chunk``, the entry that it is to become, with permissions ``mode``.

        The file is closed after the body, and deleted if it wasn't published.

        Raises:
            OSError: no file can be made there.
        """
        name, fd = _locked(folder, chunk, mode)
        temporary = cls(folder, name, fd, chunk)
        try:
            yield temporary
        finally:
            if not temporary.is_published:
                with suppress(OSError):
                    os.unlink(name, dir_fd=folder)
            os.close(fd)

    def __init__(self, folder: int, name: str, fd: int, chunk: str) -> None:
        self.fd = fd
        self.is_published = False
        self._folder = folder
        self._name = name
        self._chunk = chunk

    def publish(self) -> None:
        """Rename the file to its entry, which replaces an older one at once.

        Raises:
            OSError: the file can't be renamed, or its content could not be written.
        """
        # Some file systems report a failed write when a descriptor is closed. Ours has to stay
        # open, to hold the lock until the file has its final name, so a duplicate is closed.
        # Over NFS, that is also what sends the bytes before the name.
        os.close(os.dup(self.fd))
        try:
            os.rename(self._name, self._chunk, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except FileNotFoundError:
            if not self._has_its_name():
                raise
        self.is_published = True

    def _has_its_name(self) -> bool:
        """Whether the file is the entry: NFS repeats a rename whose answer was lost, and finds none."""
        try:
            found = os.stat(self._chunk, dir_fd=self._folder, follow_symlinks=False)
            return os.path.samestat(found, os.fstat(self.fd))
        except OSError:
            return False


def remove_abandoned(folder: int, name: str, now_s: float) -> None:
    """Delete the temporary file ``name`` if its writer is gone; ``now_s`` is seconds since 1970."""
    with suppress(OSError):
        fd = os.open(name, _OLD, dir_fd=folder)
        try:
            if _is_abandoned(fd, name, now_s):
                os.unlink(name, dir_fd=folder)
        finally:
            os.close(fd)


def _is_abandoned(fd: int, name: str, now_s: float) -> bool:
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        return False
    is_old = now_s - found.st_mtime > _ABANDONED_S
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a mount without locks
        return is_old
    return is_old or is_of_this_boot(name)


def _locked(folder: int, chunk: str, mode: int) -> tuple[str, int]:
    """Make and lock a file; try again if a cleaner deleted it before it was locked."""
    for _ in range(_TRIES):
        name = new_temporary(chunk)
        fd = os.open(name, _NEW, 0o600, dir_fd=folder)
        if _lock_new(fd) and os.fstat(fd).st_nlink:
            if mode != 0o600:
                os.fchmod(fd, mode)  # open's mode is cut by the umask
            return name, fd
        os.close(fd)
    raise OSError(errno.EAGAIN, f"another process locks new files of {chunk}")


def _lock_new(fd: int) -> bool:
    """Lock a new file; False where another process holds the lock. No locks at all count as held."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
