"""The metadata half of an entry: what its payload is, and how to tell that it is whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import xxhash

from kvtransfer.keys import parse_base_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kvtransfer.layout import ChunkFormat

CODEC = "naive"
"""How payloads are written: as they are."""

_INTEGERS = ("world_size", "worker_id", "tokens", "nbytes", "created")


@dataclass(frozen=True)
class ChunkRecord:
    """The commit record of an entry; a payload without one doesn't count."""

    model_name: str
    format: str
    """Name of the codec that wrote the payload."""
    world_size: int
    worker_id: int
    layout: str
    dtype: str
    shape: tuple[int, ...]
    tokens: int
    nbytes: int
    """Bytes of the payload as stored."""
    xxh3: int
    """64-bit XXH3 of the payload as stored."""
    created: int
    """Seconds since 1970 at which the payload was put."""

    @classmethod
    def of(cls, key: str, chunk: ChunkFormat, payload: memoryview, created: int) -> ChunkRecord:
        """The record to put beside ``payload`` under the base key ``key``."""
        owner = parse_base_key(key)
        return cls(
            model_name=owner.model_name,
            format=CODEC,
            world_size=owner.world_size,
            worker_id=owner.worker_id,
            layout=chunk.layout,
            dtype=chunk.dtype,
            shape=chunk.shape,
            tokens=chunk.tokens,
            nbytes=len(payload),
            xxh3=xxhash.xxh3_64_intdigest(payload),
            created=created,
        )

    @classmethod
    def from_fields(cls, fields: Mapping[str, str]) -> ChunkRecord | None:
        """The inverse of :meth:`to_fields`; None unless ``fields`` is exactly what that writes."""
        try:
            record = cls(
                model_name=fields["model_name"],
                format=fields["format"],
                layout=fields["layout"],
                dtype=fields["dtype"],
                shape=tuple(map(int, filter(None, fields["shape"].split(",")))),
                xxh3=int(fields["xxh3"], 16),
                **{name: int(fields[name]) for name in _INTEGERS},
            )
        except (KeyError, ValueError):
            return None
        return record if record.to_fields() == fields else None

    def to_fields(self) -> dict[str, str]:
        """Field names and values as a store keeps them."""
        return {
            "model_name": self.model_name,
            "format": self.format,
            "layout": self.layout,
            "dtype": self.dtype,
            "shape": ",".join(map(str, self.shape)),
            "xxh3": f"{self.xxh3:016x}",
            **{name: str(getattr(self, name)) for name in _INTEGERS},
        }

    def matches(self, key: str, chunk: ChunkFormat) -> bool:
        """Whether this is a record of ``key`` in the format of ``chunk``."""
        owner = parse_base_key(key)
        ours = (owner.model_name, CODEC, owner.world_size, owner.worker_id)
        return ours == (self.model_name, self.format, self.world_size, self.worker_id) and (
            chunk.layout == self.layout
            and chunk.dtype == self.dtype
            and chunk.shape == self.shape
            and chunk.tokens == self.tokens
            and chunk.nbytes == self.nbytes
        )

    def is_of(self, payload: bytes | memoryview) -> bool:
        """Whether ``payload`` has the length and the checksum that were recorded."""
        return len(payload) == self.nbytes and xxhash.xxh3_64_intdigest(payload) == self.xxh3


def is_intact(
    key: str, chunk: ChunkFormat, fields: Mapping[str, str] | None, payload: bytes | None
) -> bool:
    """Whether the two halves found under ``key``, None where there is none, are one good entry."""
    if fields is None or payload is None:
        return False
    record = ChunkRecord.from_fields(fields)
    return record is not None and record.matches(key, chunk) and record.is_of(payload)


def whole(payload: memoryview, chunk: ChunkFormat) -> memoryview:
    """``payload`` as flat bytes.

    Raises:
        ValueError: it isn't exactly one chunk long.
    """
    if payload.nbytes != chunk.nbytes:
        raise ValueError(f"payload of {payload.nbytes} bytes; a chunk here has {chunk.nbytes}")
    return payload.cast("B")
