"""Describes the pieces of all pipeline stages together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import parse_base_key

if TYPE_CHECKING:
    from kvtransfer.chunks.layout import ChunkFormat, Formats


@dataclass(frozen=True)
class StageFormats:
    """The formats of stages that hold different numbers of layers; see ``Formats``."""

    stages: tuple[Formats, ...]
    """The formats of each stage, in order."""

    @property
    def entries(self) -> StageFormats:
        """See ``Formats``."""
        return StageFormats(tuple(stage.entries for stage in self.stages))

    @property
    def largest(self) -> Formats:
        """The formats of the stage with the largest pieces, and so the fewest slots."""
        return max(self.stages, key=lambda formats: formats.slot_bytes)

    @cached_property
    def formats(self) -> tuple[ChunkFormat, ...]:
        """Every format that a piece has on some stage, once."""
        return tuple(dict.fromkeys(form for stage in self.stages for form in stage.formats))

    def of(self, key: str) -> ChunkFormat:
        """The format of the entry ``key`` of a store, which names a shard and so a stage."""
        base = parse_base_key(key)
        return self.stages[base.worker_id * len(self.stages) // base.world_size].of(key)

    def counted_tokens(self, key: str) -> int:
        """See ``Formats``."""
        return self.largest.counted_tokens(key)

    @property
    def slot_bytes(self) -> int:
        """Bytes of the largest piece of any stage; see ``Formats``."""
        return self.largest.slot_bytes

    @property
    def chunk_tokens(self) -> int:
        """See ``Formats``."""
        return self.largest.chunk_tokens

    def slots_in(self, gib: float) -> int:
        """Count the slots that every stage has in ``gib`` GiB; see ``Formats``."""
        return self.largest.slots_in(gib)
