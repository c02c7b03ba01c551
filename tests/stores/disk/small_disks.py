"""Disks that are full or read-only: mounted where one may mount, otherwise played by ``os``."""

from __future__ import annotations

import errno
import os
import subprocess
from contextlib import contextmanager


@contextmanager
def disk_of(nbytes, folder, monkeypatch):
    """``folder`` as a disk that has room for ``nbytes``."""
    folder.mkdir()
    if _mount("-t", "tmpfs", "-o", f"size={nbytes}", "tmpfs", folder):
        try:
            yield
        finally:
            _unmount(folder)
    else:
        monkeypatch.setattr(os, "pwritev", _with_quota(os.pwritev, nbytes, folder))
        yield


@contextmanager
def read_only(folder, monkeypatch):
    """Nothing under ``folder`` can be changed for a while."""
    if _mount("--bind", folder, folder):
        try:
            assert _mount("-o", "remount,bind,ro", folder)
            yield
        finally:
            _unmount(folder)
    else:
        with monkeypatch.context() as patch:
            for name in ("utime", "unlink", "rename", "mkdir"):
                patch.setattr(os, name, _refuse)
            patch.setattr(os, "open", _refusing_writes(os.open))
            yield


def _mount(*arguments):
    return (
        subprocess.run(["mount", *arguments], check=False, stderr=subprocess.DEVNULL).returncode
        == 0
    )


def _unmount(folder):
    subprocess.run(["umount", "--lazy", folder], check=True)


def _with_quota(write, nbytes, folder):
    def pwritev(fd, parts, offset):
        used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if used + sum(map(len, parts)) > nbytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, parts, offset)

    return pwritev


def _refusing_writes(really_open):
    def open_(path, flags, *mode, dir_fd=None):
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            _refuse()
        return really_open(path, flags, *mode, dir_fd=dir_fd)

    return open_


def _refuse(*_, **__):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))
