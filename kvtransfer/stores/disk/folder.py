"""Opens the folder of a disk store and its files, by exact names and through no link."""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from kvtransfer.stores.disk.claim import ForeignFolderError, claim, is_ours, refuse_foreign
from kvtransfer.stores.disk.listing import FOLDER, entered, entries, names
from kvtransfer.stores.disk.temporary import Temporary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvtransfer.stores.disk.listing import Entry

# Without O_NONBLOCK, opening a FIFO without a writer would block for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_OF_ONE_PATH = frozenset(
    getattr(errno, name)
    for name in (
        "ENOENT", "ENOTDIR", "EISDIR", "ELOOP", "EACCES", "EPERM", "EEXIST", "ENOTEMPTY",
        "ENXIO", "ENODEV", "EAGAIN", "ENAMETOOLONG", "ESTALE",
    )
)  # fmt: skip
_SHARED = stat.S_ISGID | stat.S_IWGRP


def is_of_one_path(error: OSError) -> bool:
    """Whether ``error`` concerns one path in the store's folder rather than all of the folder."""
    return error.errno in _OF_ONE_PATH


class ChunkFolder:
    """The folder ``root`` of a store, with files ``owner/ha/hash.kv``; ``opened`` or ``made`` for a call.

    A model has a folder of its own, which can be removed by hand, and no folder grows large.
    """

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)

    @contextmanager
    def opened(self) -> Iterator[OpenFolder | None]:
        """Open the folder for the body; None where there is none yet.

        Raises:
            OSError: something other than a folder is there, or we may not use it.
        """
        fd = None
        with suppress(FileNotFoundError):
            fd = os.open(self.root, FOLDER)
        try:
            yield None if fd is None else OpenFolder(fd, self.root)
        finally:
            if fd is not None:
                os.close(fd)

    @contextmanager
    def made(self) -> Iterator[OpenFolder]:
        """Open the folder for the body; make and mark it first if need be.

        Raises:
            OSError: the folder can't be made, marked or opened.
        """
        with suppress(FileExistsError):
            os.makedirs(self.root, 0o700)
        with entered(self.root) as fd:
            claim(fd, self.root)
            yield OpenFolder(fd, self.root)

    def refuse_foreign(self) -> None:
        """Check that the folder holds nothing foreign, as far as it can be read now.

        Raises:
            ForeignFolderError: the folder isn't ours and holds other files.
        """
        try:
            with entered(self.root) as fd:
                refuse_foreign(fd, self.root)
        except ForeignFolderError:
            raise
        except OSError:
            return  # there is no folder, or none that answers: calls will meet that


class OpenFolder:
    """The folder behind the descriptor ``fd``, which its owner closes, and called ``name``.

    Each ``path`` leads from there to a chunk.
    """

    def __init__(self, fd: int, name: str) -> None:
        self._fd = fd
        self._name = name

    def stat(self, path: str) -> os.stat_result | None:
        """Return the status of the file at ``path``; None unless it is a regular file we may read."""
        try:
            found = os.stat(path, dir_fd=self._fd, follow_symlinks=False)
        except OSError as error:
            if is_of_one_path(error):
                return None
            raise
        return found if stat.S_ISREG(found.st_mode) and self._may_read(path, found) else None

    @contextmanager
    def file(self, path: str) -> Iterator[int | None]:
        """Open the file at ``path`` for reading in the body; None where ``stat`` returns None."""
        fd = self._open(path)
        try:
            yield fd
        finally:
            if fd is not None:
                os.close(fd)

    def is_replaced(self, path: str, fd: int) -> bool:
        """Whether the file at ``path`` isn't, or may not be, the one behind ``fd`` any more."""
        try:
            found = os.stat(path, dir_fd=self._fd, follow_symlinks=False)
            return not os.path.samestat(found, os.fstat(fd))
        except OSError:  # it is gone, or a stale handle of NFS
            return True

    @contextmanager
    def new_file(self, path: str) -> Iterator[Temporary]:
        """Make a file that the body may publish at ``path``; without that it is deleted at the end."""
        owner, fan, name = path.split("/")
        with self._made(self._fd, owner) as owner_fd, self._made(owner_fd, fan) as fan_fd:
            mode = 0o660 if self._is_shared() else 0o600
            with Temporary.create(fan_fd, name, mode) as temporary:
                yield temporary

    def remove(self, path: str) -> None:
        """Delete the file at ``path``, of whatever kind, if this folder is ours.

        Raises:
            OSError: the file can't be deleted, or is gone.
        """
        claim(self._fd, self._name)
        owner, fan, name = path.split("/")
        with entered(owner, self._fd) as owner_fd, entered(fan, owner_fd) as fan_fd:
            os.unlink(name, dir_fd=fan_fd)

    def names(self, owner: str, fan: str) -> list[str]:
        """Return the names in the folder ``owner/fan``; none where there is none, or it isn't ours.

        Temporary files that dead writers left there are deleted.
        """
        if not is_ours(self._fd):
            return []
        gone = suppress(FileNotFoundError)
        with gone, entered(owner, self._fd) as owner_fd, entered(fan, owner_fd) as fan_fd:
            return names(fan_fd, time.time())
        return []

    def folders(self, owner: str) -> list[str]:
        """Return the names in the folder ``owner``; none where there is none."""
        with suppress(FileNotFoundError), entered(owner, self._fd) as owner_fd:
            return os.listdir(owner_fd)
        return []

    def remove_empty(self, owner: str, fan: str) -> None:
        """Delete the folder ``owner/fan``, if it is empty."""
        with suppress(OSError), entered(owner, self._fd) as owner_fd:
            os.rmdir(fan, dir_fd=owner_fd)

    def entries(self, now_s: float) -> Iterator[Entry]:
        """See :func:`kvtransfer.stores.disk.listing.entries`; none where the folder isn't ours."""
        return entries(self._fd, now_s) if is_ours(self._fd) else iter(())

    def _open(self, path: str) -> int | None:
        try:
            fd = os.open(path, _FILE, dir_fd=self._fd)
        except OSError as error:
            if is_of_one_path(error):
                return None
            raise
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        return None

    def _may_read(self, path: str, found: os.stat_result) -> bool:
        if found.st_uid == os.geteuid():
            return True
        return os.access(path, os.R_OK, dir_fd=self._fd, effective_ids=True)

    def _is_shared(self) -> bool:
        """Whether the group may write and new files get the group: all of it shares the folder."""
        return os.fstat(self._fd).st_mode & _SHARED == _SHARED

    @contextmanager
    def _made(self, parent: int, name: str) -> Iterator[int]:
        is_new = True
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            is_new = False
        with entered(name, parent) as fd:
            if is_new and self._is_shared():
                os.fchmod(fd, 0o2770)  # mkdir's mode is cut by the umask
            yield fd
