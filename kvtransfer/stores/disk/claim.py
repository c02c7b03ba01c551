"""Tells a disk store's folder by its marker: nothing is changed in a folder without one."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from kvtransfer.stores.disk.names import is_owner

MARKER = ".kvtransfer-chunks"
_TEXT = (
    b"kvtransfer keeps chunks of KV cache in this folder, and deletes those used longest ago.\n"
    b"It touches no file whose name isn't exactly one that it gives.\n"
)
# A new file system has lost+found, and an export of a filer may show its snapshots; earlier versions
# of the store made .tmp.
_HARMLESS = ("lost+found", ".snapshot", ".tmp")
_DELETED_WHILE_OPEN = ".nfs"  # how an NFS client calls a file of which a reader is left


class ForeignFolderError(OSError):
    """A folder without our marker holds something other than chunks."""


def is_ours(root: int) -> bool:
    """Whether the open folder ``root`` carries our marker."""
    try:
        found = os.stat(MARKER, dir_fd=root, follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode)


def claim(root: int, name: str) -> None:
    """Mark the open folder ``root``, called ``name``, unless it is marked already.

    Raises:
        ForeignFolderError: the folder holds something that isn't ours.
        OSError: nothing can be written there.
    """
    if is_ours(root):
        return
    refuse_foreign(root, name)
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    with suppress(FileExistsError):  # another process was first
        fd = os.open(MARKER, flags, 0o644, dir_fd=root)
        try:
            os.write(fd, _TEXT)
        finally:
            os.close(fd)


def refuse_foreign(root: int, name: str) -> None:
    """Check that the open folder ``root``, called ``name``, is marked or holds nothing foreign.

    Raises:
        ForeignFolderError: the folder isn't marked and holds something that isn't ours.
    """
    if is_ours(root):
        return
    with os.scandir(root) as listing:
        stranger = next((entry.name for entry in listing if not _may_be_ours(entry)), None)
    if stranger is not None and not is_ours(root):  # another process may just have marked it
        raise ForeignFolderError(
            f"{name} holds {stranger!r}, which isn't kvtransfer's; name an empty or a new folder"
        )


def _may_be_ours(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith(_DELETED_WHILE_OPEN):
        return True
    has_our_name = is_owner(entry.name) or entry.name in _HARMLESS
    return has_our_name and entry.is_dir(follow_symlinks=False)
