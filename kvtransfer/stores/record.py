"""The metadata half of an entry: what its payload is, and the tag that binds the two together."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import parse_base_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kvtransfer.chunks.layout import ChunkFormat

CODEC = "naive"
"""How payloads are written: as they are."""

_TEXTS = ("model_name", "format", "chunk_hash", "layout", "dtype", "seal")
_INTEGERS = ("world_size", "worker_id", "tokens", "nbytes", "created")


@dataclass(frozen=True)
class Identity:
    """Everything in a record but the tag, which covers all of it."""

    model_name: str
    format: str
    """Name of the codec that wrote the payload."""
    world_size: int
    worker_id: int
    chunk_hash: str
    layout: str
    dtype: str
    shape: tuple[int, ...]
    tokens: int
    nbytes: int
    """Bytes of the payload as stored."""
    created: int
    """Seconds since 1970 at which the payload was put."""
    seal: str
    """Name of the seal that computed the tag; where it uses a key, of that key too."""
    nonce: bytes
    """Used once with the key that encrypted the payload; empty where nothing is encrypted."""

    @classmethod
    def of(
        cls, key: str, chunk: ChunkFormat, *, created: int, seal: str, nonce: bytes = b""
    ) -> Identity:
        """Of a payload of ``chunk`` that is put under the base key ``key``."""
        owner = parse_base_key(key)
        return cls(
            model_name=owner.model_name,
            format=CODEC,
            world_size=owner.world_size,
            worker_id=owner.worker_id,
            chunk_hash=owner.chunk_hash,
            layout=chunk.layout,
            dtype=chunk.dtype,
            shape=chunk.shape,
            tokens=chunk.tokens,
            nbytes=chunk.nbytes,
            created=created,
            seal=seal,
            nonce=nonce,
        )

    def to_fields(self) -> dict[str, str]:
        """Field names and values as a store keeps them."""
        return {
            **{name: getattr(self, name) for name in _TEXTS},
            **{name: str(getattr(self, name)) for name in _INTEGERS},
            "shape": ",".join(map(str, self.shape)),
            "nonce": self.nonce.hex(),
        }

    def to_bytes(self) -> bytes:
        """Canonical JSON: what a tag covers beside the payload."""
        return json.dumps(self.to_fields(), sort_keys=True, separators=(",", ":")).encode()

    def matches(self, key: str, chunk: ChunkFormat) -> bool:
        """Whether this is the identity of ``key`` in the format of ``chunk``."""
        ours = Identity.of(key, chunk, created=self.created, seal=self.seal, nonce=self.nonce)
        return self == ours


@dataclass(frozen=True)
class ChunkRecord:
    """The commit record of an entry; a payload without one doesn't count."""

    identity: Identity
    tag: bytes
    """Computed by the seal from the payload as stored and the identity."""

    @classmethod
    def from_fields(cls, fields: Mapping[str, str]) -> ChunkRecord | None:
        """The inverse of :meth:`to_fields`; None unless ``fields`` is exactly what that writes.

        They come from a store, so anything may be in their place.
        """
        if not all(isinstance(text, str) for text in fields.values()):
            return None
        try:
            identity = Identity(
                model_name=fields["model_name"],
                format=fields["format"],
                chunk_hash=fields["chunk_hash"],
                layout=fields["layout"],
                dtype=fields["dtype"],
                seal=fields["seal"],
                shape=tuple(map(int, filter(None, fields["shape"].split(",")))),
                nonce=bytes.fromhex(fields["nonce"]),
                **{name: int(fields[name]) for name in _INTEGERS},
            )
            record = cls(identity, bytes.fromhex(fields["tag"]))
        except (KeyError, ValueError):
            return None
        return record if record.to_fields() == fields else None

    @classmethod
    def read(cls, fields: Mapping[str, str], key: str, chunk: ChunkFormat) -> ChunkRecord | None:
        """The record of ``key`` in the format of ``chunk``; None for any other, or none at all."""
        record = cls.from_fields(fields)
        return record if record is not None and record.identity.matches(key, chunk) else None

    def to_fields(self) -> dict[str, str]:
        """Field names and values as a store keeps them."""
        return {**self.identity.to_fields(), "tag": self.tag.hex()}


def whole(payload: memoryview, chunk: ChunkFormat) -> memoryview:
    """``payload`` as flat bytes.

    Raises:
        ValueError: it isn't exactly one chunk long.
    """
    if payload.nbytes != chunk.nbytes:
        raise ValueError(f"payload of {payload.nbytes} bytes; a chunk here has {chunk.nbytes}")
    return payload.cast("B")
