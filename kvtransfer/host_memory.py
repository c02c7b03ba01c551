"""Reads how much host memory this process may take, from its machine and its container."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvtransfer.chunks.layout import Formats
    from kvtransfer.config import TransferConfig

# Left to other processes; several workers of a machine may take memory at once.
_RESERVE_BYTES = 512 << 20
_GIB = 2**30


class OutOfMemoryError(MemoryError):
    """Less host memory is left than is asked for; nothing was taken."""


@dataclass(frozen=True)
class HostMemory:
    """Says how much memory there is, as the kernel tells; practically unlimited if it tells nothing."""

    installed_bytes: int
    """Bytes of the machine, or the limit of the container where that is lower."""
    available_bytes: int
    """Bytes of it that could be taken now without swapping."""

    @classmethod
    def read(cls, root: Path = Path("/")) -> HostMemory:
        """Read the kernel's files below ``root``."""
        told = _numbers(root / "proc/meminfo")
        limits = list(_limits(root))
        return cls(
            min([told.get("MemTotal", _UNKNOWN_KIB) * 1024, *(limit for limit, _ in limits)]),
            min([told.get("MemAvailable", _UNKNOWN_KIB) * 1024, *(left for _, left in limits)]),
        )

    def require(self, nbytes: int) -> None:
        """Check that ``nbytes`` may be taken.

        Raises:
            OutOfMemoryError: less is left, or less than 512 MiB would be left to others.
        """
        if nbytes + _RESERVE_BYTES > self.available_bytes:
            raise OutOfMemoryError(
                f"{nbytes / _GIB:.1f} GiB of host memory are wanted, and "
                f"{self.available_bytes / _GIB:.1f} GiB are left"
            )


_UNKNOWN_KIB = 1 << 60


def require_installed(gib: float) -> None:
    """Check that ``max_local_cpu_size``, which is ``gib``, could ever be taken here.

    Raises:
        ConfigError: the machine or its container has less memory than that in all.
    """
    installed_bytes = HostMemory.read().installed_bytes
    if gib * _GIB > installed_bytes:
        raise ConfigError(
            f"max_local_cpu_size={gib} GiB is more than the {installed_bytes / _GIB:.1f} GiB that "
            "this machine or its container has; each worker takes that much, so lower it"
        )


def slots(config: TransferConfig, formats: Formats) -> int:
    """Return how many pieces host memory holds on each rank, by ``max_local_cpu_size``.

    Raises:
        ConfigError: it holds none, or more than the machine has memory for.
    """
    require_installed(config.max_local_cpu_size)
    count = formats.slots_in(config.max_local_cpu_size)
    if count == 0:
        raise ConfigError(
            f"max_local_cpu_size={config.max_local_cpu_size} GiB holds no chunk of "
            f"{formats.slot_bytes / 2**20:.1f} MiB; give it room for a few hundred"
        )
    return count


@contextmanager
def taking(gib: float, nbytes: int) -> Iterator[None]:
    """Check for ``nbytes``, which a worker takes inside for ``max_local_cpu_size``, ``gib``.

    Raises:
        ConfigError: less is left, or other processes take it meanwhile.
    """
    try:
        HostMemory.read().require(nbytes)
        yield
    except OutOfMemoryError as error:
        raise ConfigError(
            f"max_local_cpu_size={gib} GiB, which each worker of a machine takes, is too much "
            f"for this machine or its container: {error}; lower it"
        ) from None


def _limits(root: Path) -> Iterator[tuple[int, int]]:
    """Yield the limit, and what is left of it, of each control group above this process."""
    cgroup = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        controllers, _, name = line.partition(":")[2].partition(":")
        if not controllers:
            yield from _walked(cgroup, name, _V2)
        elif "memory" in controllers.split(","):
            yield from _walked(cgroup / "memory", name, _V1)


# The files of limit and usage, and the name in memory.stat of cache that can be given up.
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = ("memory.max", "memory.current", "inactive_file")


def _walked(mount: Path, name: str, files: tuple[str, str, str]) -> Iterator[tuple[int, int]]:
    """Walk up from the group ``name``; a container may see only its own group, at the mount."""
    inner = mount / name.lstrip("/")
    for folder in (inner, *inner.parents):
        if folder.is_relative_to(mount):
            yield from _limit(folder, *files)


def _limit(folder: Path, limit: str, usage: str, inactive: str) -> Iterator[tuple[int, int]]:
    most, used = _text(folder / limit).strip(), _text(folder / usage).strip()
    if most.isdigit() and used.isdigit():
        cached_bytes = _numbers(folder / "memory.stat").get(inactive, 0)
        yield int(most), max(0, int(most) - int(used) + cached_bytes)


def _numbers(path: Path) -> dict[str, int]:
    """Return the number on each line by the name that begins the line."""
    words = (line.replace(":", " ").split() for line in _text(path).splitlines())
    return {word[0]: int(word[1]) for word in words if len(word) > 1 and word[1].isdigit()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
