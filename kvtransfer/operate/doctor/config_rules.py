"""Judges a configuration, and the machine that it is for. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kvtransfer.operate.doctor.finding import Finding, Level
from kvtransfer.operate.quantities import bytes_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kvtransfer.config import TransferConfig

_GIB = 2**30
_ON_THIS_MACHINE = ("localhost", "127.0.0.1", "::1", "")


@dataclass(frozen=True)
class Folder:
    """The folder of the disk tier, or the nearest one above it that is there."""

    path: str
    free_bytes: int
    is_writable: bool
    is_in_memory: bool
    """Whether its file system lies in memory, as ``/dev/shm`` does."""


@dataclass(frozen=True)
class Machine:
    """What doctor has found on this machine."""

    available_bytes: int
    """Host memory that could be taken now."""
    folder: Folder | None
    """None where no folder is configured."""
    open_key_files: tuple[str, ...]
    """Key and password files that others may read."""


def judge_config(
    config: TransferConfig, origins: Mapping[str, str], machine: Machine
) -> Iterator[Finding]:
    """Yield what should be changed in ``config``.

    Args:
        config: the effective settings.
        origins: where each setting that isn't a default comes from.
        machine: that they are for.
    """
    yield from _stores(config)
    yield from _secrets(config, origins, machine)
    yield from _host_memory(config, machine)
    if machine.folder is not None:
        yield from _folder(config, machine.folder)


def _stores(config: TransferConfig) -> Iterator[Finding]:
    if not config.has_stores:
        yield Finding(
            Level.COSTLY,
            "no-store",
            "neither remote_url nor local_storage is set, so the cache ends with the process",
            "set remote_url to a Redis that all instances share",
        )
    if config.write_policy == "write_back" and not config.local_cpu:
        yield Finding(
            Level.BROKEN,
            "write-back",
            "write_policy is write_back and local_cpu is false, so no chunk stays to be written",
            "set local_cpu true, or write_policy write_through",
        )
    if config.write_policy == "write_back" and config.admit_chance > 0.5:
        yield Finding(
            Level.COSTLY,
            "admit-chance",
            f"admit_chance is {config.admit_chance}, so few chunks are ever written",
            "set admit_chance to 0.05 or less",
        )
    if config.ttl_s is not None and config.ttl_s < 60:
        yield Finding(
            Level.COSTLY,
            "ttl",
            f"ttl_s is {config.ttl_s}: entries are gone before most prompts return",
            "leave ttl_s out, or set it to hours",
        )
    if config.load_margin > 3:
        yield Finding(
            Level.COSTLY,
            "margin",
            f"load_margin is {config.load_margin}: loads that take longer than computing are made",
            "set load_margin to 1.1, the default",
        )


def _secrets(
    config: TransferConfig, origins: Mapping[str, str], machine: Machine
) -> Iterator[Finding]:
    url = urlsplit(config.remote_url or "")
    if url.password and not origins.get("remote_url", "").startswith("KVTRANSFER_"):
        yield Finding(
            Level.UNSAFE,
            "password",
            f"the password is in the URL in {origins.get('remote_url')}, which vLLM may log",
            "set remote_password_file, or the URL in the environment",
        )
    for path in machine.open_key_files:
        yield Finding(
            Level.UNSAFE, "key-file", f"{path} can be read by others", f"run chmod 600 {path}"
        )
    is_plain = url.scheme in ("redis", "redis-sentinel", "redis-cluster", "valkey")
    is_far = any(
        (urlsplit(f"//{host}").hostname or "") not in _ON_THIS_MACHINE
        for host in url.netloc.rpartition("@")[2].split(",")
    )
    if is_plain and is_far and not (config.integrity_key_file or config.encryption_key_file):
        yield Finding(
            Level.UNSAFE,
            "plain",
            "the line to the store is neither encrypted nor are entries authenticated: those who can "
            "write there can change answers",
            "use rediss://, and set integrity_key_file or encryption_key_file",
        )


def _host_memory(config: TransferConfig, machine: Machine) -> Iterator[Finding]:
    wanted = config.max_local_cpu_size * _GIB
    if wanted > machine.available_bytes:
        yield Finding(
            Level.BROKEN,
            "host-memory",
            f"max_local_cpu_size is {config.max_local_cpu_size} GiB for each worker, and "
            f"{bytes_text(machine.available_bytes)} are free here",
            "lower max_local_cpu_size",
        )


def _folder(config: TransferConfig, folder: Folder) -> Iterator[Finding]:
    limit = config.max_local_storage_size * _GIB
    if not folder.is_writable:
        yield Finding(
            Level.BROKEN, "folder", f"{folder.path} can't be written", "let this user write there"
        )
    if limit > folder.free_bytes:
        yield Finding(
            Level.COSTLY,
            "folder-full",
            f"max_local_storage_size is {config.max_local_storage_size} GiB, and "
            f"{bytes_text(folder.free_bytes)} are free at {folder.path}",
            "lower max_local_storage_size, or name a folder on a larger disk",
        )
    if folder.is_in_memory:
        yield Finding(
            Level.COSTLY,
            "folder-memory",
            f"{folder.path} lies in memory, which max_local_cpu_size uses better",
            "name a folder on a local disk",
        )
