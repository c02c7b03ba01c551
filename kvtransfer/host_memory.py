"""How much host memory this process may take, by its machine and by its container."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvtransfer.chunks.layout import ChunkFormat
    from kvtransfer.config import TransferConfig

# Kept for everybody else, while several workers of a machine take theirs at once.
_RESERVE_BYTES = 512 << 20
_GIB = 2**30


class OutOfMemoryError(MemoryError):
    """There is less left than is asked for; nothing was taken."""


@dataclass(frozen=True)
class HostMemory:
    """What the system tells; as much as a machine of its own could have where it tells nothing."""

    installed_bytes: int
    """The machine's, or the container's limit where that is lower."""
    available_bytes: int
    """What of it could be taken now, without swapping."""

    @classmethod
    def read(cls, root: Path = Path("/")) -> HostMemory:
        """From the files of the kernel's below ``root``."""
        told = _numbers(root / "proc/meminfo")
        limits = list(_limits(root))
        return cls(
            min([told.get("MemTotal", _UNKNOWN_KIB) * 1024, *(limit for limit, _ in limits)]),
            min([told.get("MemAvailable", _UNKNOWN_KIB) * 1024, *(left for _, left in limits)]),
        )

    def require(self, nbytes: int) -> None:
        """Before ``nbytes`` are taken.

        Raises:
            OutOfMemoryError: they aren't there, or what others need would be taken.
        """
        if nbytes + _RESERVE_BYTES > self.available_bytes:
            raise OutOfMemoryError(
                f"{nbytes / _GIB:.1f} GiB of host memory are wanted, and "
                f"{self.available_bytes / _GIB:.1f} GiB are left"
            )


_UNKNOWN_KIB = 1 << 60


def require_installed(gib: float) -> None:
    """Before bookkeeping for ``max_local_cpu_size``, ``gib``, is made.

    Raises:
        ConfigError: neither machine nor container has ever so much.
    """
    installed_bytes = HostMemory.read().installed_bytes
    if gib * _GIB > installed_bytes:
        raise ConfigError(
            f"max_local_cpu_size={gib} GiB is more than the {installed_bytes / _GIB:.1f} GiB that "
            "this machine or its container has; each worker takes that much, so lower it"
        )


def slots(config: TransferConfig, chunk: ChunkFormat) -> int:
    """How many chunks host memory holds on each rank, by ``max_local_cpu_size``.

    Raises:
        ConfigError: not one, or more than the machine has memory for.
    """
    require_installed(config.max_local_cpu_size)
    count = chunk.slots_in(config.max_local_cpu_size)
    if count == 0:
        raise ConfigError(
            f"max_local_cpu_size={config.max_local_cpu_size} GiB holds no chunk of "
            f"{chunk.nbytes / 2**20:.1f} MiB; give it room for a few hundred"
        )
    return count


@contextmanager
def taking(gib: float, nbytes: int) -> Iterator[None]:
    """A worker takes ``nbytes`` inside, for its ``max_local_cpu_size`` of ``gib``.

    Raises:
        ConfigError: they aren't there, or others take them meanwhile.
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
    """Of each control group above this process: its limit, and what is left of it."""
    cgroup = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        controllers, _, name = line.partition(":")[2].partition(":")
        if not controllers:
            yield from _walked(cgroup, name, _V2)
        elif "memory" in controllers.split(","):
            yield from _walked(cgroup / "memory", name, _V1)


# Files of the limit and of the usage, and what the statistics call cache that can be given up.
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = ("memory.max", "memory.current", "inactive_file")


def _walked(mount: Path, name: str, files: tuple[str, str, str]) -> Iterator[tuple[int, int]]:
    """Up from the group ``name``; in a container only its own may be seen, at the mount."""
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
    """By the name that begins each line."""
    words = (line.replace(":", " ").split() for line in _text(path).splitlines())
    return {word[0]: int(word[1]) for word in words if len(word) > 1 and word[1].isdigit()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
