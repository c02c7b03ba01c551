"""Looks at this machine: memory, folder, files with keys."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from kvtransfer.host_memory import HostMemory
from kvtransfer.operate.doctor.config_rules import Folder, Machine

if TYPE_CHECKING:
    from kvtransfer.config import TransferConfig

_MOUNTS = Path("/proc/mounts")
_IN_MEMORY = ("tmpfs", "ramfs")
_FOR_OTHERS = 0o077


def look(config: TransferConfig) -> Machine:
    """Look at what ``config`` names; nothing is made or changed."""
    files = [
        config.remote_password_file,
        *(config.integrity_key_file or ()),
        *(config.encryption_key_file or ()),
    ]
    return Machine(
        available_bytes=HostMemory.read().available_bytes,
        folder=None if config.local_storage is None else _folder(Path(config.local_storage)),
        open_key_files=tuple(path for path in files if path and _is_open(Path(path))),
    )


def _folder(asked: Path) -> Folder:
    path = asked.absolute()
    while not path.exists():
        path = path.parent
    return Folder(
        path=str(path),
        free_bytes=shutil.disk_usage(path).free,
        is_writable=os.access(path, os.W_OK),
        is_in_memory=_file_system(path) in _IN_MEMORY,
    )


def _file_system(path: Path) -> str:
    """The kind of file system that ``path`` is on; empty where the kernel doesn't tell."""
    try:
        lines = [line.split() for line in _MOUNTS.read_text().splitlines()]
    except OSError:
        return ""
    above = [(len(line[1]), line[2]) for line in lines if path.is_relative_to(line[1])]
    return max(above, default=(0, ""))[1]


def _is_open(path: Path) -> bool:
    return path.exists() and bool(path.stat().st_mode & _FOR_OTHERS)
