"""Which chunk is in which slot of host memory, whose slot it is, and which goes first for another.

Pure bookkeeping, for one thread: the slots' memory is elsewhere, on every rank.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from kvtransfer.config import TransferConfig
    from kvtransfer.layout import ChunkFormat


def slots(config: TransferConfig, chunk: ChunkFormat) -> int:
    """How many chunks host memory holds on each rank, by ``max_local_cpu_size``.

    Raises:
        ConfigError: not one.
    """
    count = chunk.slots_in(config.max_local_cpu_size)
    if count == 0:
        raise ConfigError(
            f"max_local_cpu_size={config.max_local_cpu_size} GiB holds no chunk of "
            f"{chunk.nbytes / 2**20:.1f} MiB; give it room for a few hundred"
        )
    return count


class Index:
    """``slots`` slots, numbered from 0.

    A slot is free, or holds a chunk: pinned while a job uses it, otherwise idle and evicted when
    another chunk needs room, least recently used first. A forgotten chunk is no longer found; its
    slot is free once nothing pins it.
    """

    def __init__(self, slots: int) -> None:
        self._free = list(range(slots - 1, -1, -1))
        self._slots: dict[str, int] = {}
        self._keys: list[str | None] = [None] * slots
        self._pins = [0] * slots
        self._idle: OrderedDict[int, None] = OrderedDict()  # least recently used first
        self._evictions = 0

    def __contains__(self, key: str) -> bool:
        return key in self._slots

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def slots(self) -> int:
        """How many there are."""
        return len(self._pins)

    def slot(self, key: str) -> int:
        """Where ``key`` is, which is held."""
        return self._slots[key]

    @property
    def room(self) -> int:
        """Chunks that could be claimed now."""
        return len(self._free) + len(self._idle)

    def is_idle(self, key: str) -> bool:
        """Whether ``key`` is held by a slot that counts as room."""
        return self._slots.get(key) in self._idle

    def claim(self, key: str) -> int | None:
        """A slot, pinned once, for ``key`` which is not held; None when all are pinned."""
        if key in self._slots:
            raise ValueError(f"{key} already has slot {self._slots[key]}")
        slot = self._free.pop() if self._free else self._evict()
        if slot is not None:
            self._slots[key] = slot
            self._keys[slot] = key
            self._pins[slot] = 1
        return slot

    def pin(self, key: str) -> int:
        """Keep the slot of ``key``, which is held, until ``unpin``; returns it."""
        slot = self._slots[key]
        self._pins[slot] += 1
        self._idle.pop(slot, None)
        return slot

    def unpin(self, slot: int) -> None:
        """Take one pin off ``slot``."""
        if self._pins[slot] == 0:
            raise ValueError(f"slot {slot} is not pinned")
        self._pins[slot] -= 1
        if self._pins[slot] == 0:
            self._let_go(slot)

    def forget(self, slot: int) -> None:
        """Don't find the chunk in ``slot`` any more."""
        key = self._keys[slot]
        if key is None:
            return
        del self._slots[key]
        self._keys[slot] = None
        if slot in self._idle:
            del self._idle[slot]
            self._free.append(slot)

    def clear(self) -> None:
        """Forget every chunk."""
        for slot in list(self._slots.values()):
            self.forget(slot)

    def take_evictions(self) -> int:
        """How many chunks have gone to make room since the last call."""
        taken, self._evictions = self._evictions, 0
        return taken

    def _let_go(self, slot: int) -> None:
        if self._keys[slot] is None:
            self._free.append(slot)
        else:
            self._idle[slot] = None

    def _evict(self) -> int | None:
        if not self._idle:
            return None
        self.forget(next(iter(self._idle)))
        self._evictions += 1
        return self._free.pop()
