"""The folder of a disk store, and what is done in it: by exact names, and through no link."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from kvtransfer.stores.disk.claim import claim, is_ours, refuse_foreign
from kvtransfer.stores.disk.listing import FOLDER, entered, entries
from kvtransfer.stores.disk.temporary import Temporary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvtransfer.stores.disk.listing import Entry

# A FIFO that nobody writes into would hold a reader for ever.
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
    """Whether ``error`` is about one file or folder in the store's, not about all of it."""
    return error.errno in _OF_ONE_PATH


class DiskFolder:
    """``root/owner/ha/hash.kv``: a model can be removed by hand, and no folder grows large."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)

    @contextmanager
    def opened(self) -> Iterator[OpenFolder | None]:
        """The folder, None where there is none yet.

        Raises:
            OSError: there is something else, or it may not be used.
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
        """The folder, made and marked as ours where that is still to be done.

        Raises:
            OSError: it can't be.
        """
        with suppress(FileExistsError):
            os.makedirs(self.root, 0o700)
        with entered(self.root) as fd:
            claim(fd, self.root)
            yield OpenFolder(fd, self.root)

    def refuse_foreign(self) -> None:
        """What can't be looked at now is no news yet.

        Raises:
            ForeignFolderError: somebody else keeps things there.
        """
        unknown = (FileNotFoundError, NotADirectoryError, PermissionError)
        with suppress(*unknown), entered(self.root) as fd:
            refuse_foreign(fd, self.root)


class OpenFolder:
    """The folder behind ``fd``, which is borrowed; ``path`` leads from there to a chunk."""

    def __init__(self, fd: int, name: str) -> None:
        self._fd = fd
        self._name = name

    def stat(self, path: str) -> os.stat_result | None:
        """Of a file that we may read at ``path``; None: there is none, or something else."""
        try:
            found = os.stat(path, dir_fd=self._fd, follow_symlinks=False)
        except OSError as error:
            if is_of_one_path(error):
                return None
            raise
        return found if stat.S_ISREG(found.st_mode) and self._may_read(path, found) else None

    @contextmanager
    def file(self, path: str) -> Iterator[int | None]:
        """The file at ``path``, open for reading; None where ``stat`` says None."""
        fd = self._open(path)
        try:
            yield fd
        finally:
            if fd is not None:
                os.close(fd)

    @contextmanager
    def new_file(self, path: str) -> Iterator[Temporary]:
        """A file that can become the entry at ``path``; otherwise it is gone in the end."""
        owner, fan, name = path.split("/")
        with self._made(self._fd, owner) as owner_fd, self._made(owner_fd, fan) as fan_fd:
            mode = 0o660 if self._is_shared() else 0o600
            with Temporary.create(fan_fd, name, mode) as temporary:
                yield temporary

    def remove(self, path: str) -> None:
        """Delete the file at ``path``, whatever kind it is, if this folder is ours.

        Raises:
            OSError: it can't be, or is gone.
        """
        claim(self._fd, self._name)
        owner, fan, name = path.split("/")
        with entered(owner, self._fd) as owner_fd, entered(fan, owner_fd) as fan_fd:
            os.unlink(name, dir_fd=fan_fd)

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
        """A folder whose group may write and passes itself on is meant for all of the group."""
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
