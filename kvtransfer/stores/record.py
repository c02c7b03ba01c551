"""Defines the record of an entry: what its payload is, and the tag that binds the two."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import BaseKey, base_key, parse_base_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kvtransfer.chunks.layout import ChunkFormat

_TEXTS = ("model_name", "format", "chunk_hash", "layout", "dtype", "seal")
_INTEGERS = ("world_size", "worker_id", "tokens", "nbytes", "created")


@dataclass(frozen=True)
class ChunkFacts:
    """What a payload means, apart from the length of its stored form."""

    format: str
    """Name of the codec that wrote the payload."""
    layout: str
    dtype: str
    shape: tuple[int, ...]
    tokens: int

    @classmethod
    def of(cls, chunk: ChunkFormat, codec: str) -> ChunkFacts:
        """Describe payloads that ``codec`` makes of chunks whose numbers aren't quantised."""
        name = codec if chunk.codec == "naive" else chunk.codec
        return cls(name, chunk.layout, chunk.dtype, chunk.shape, chunk.tokens)


@dataclass(frozen=True)
class Identity:
    """Everything in a record but the tag, which covers it."""

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
    """Name of the seal that computed the tag, and of its key where it uses one."""
    nonce: bytes
    """Used once with the key that encrypted the payload; empty where nothing is encrypted."""
    tenant: str = ""
    """Whose requests the payload serves; empty, and no field of the record, where it is no tenant's."""

    @classmethod
    def of(
        cls,
        key: str,
        facts: ChunkFacts,
        *,
        nbytes: int,
        created: int,
        seal: str,
        nonce: bytes = b"",
        tenant: str = "",
    ) -> Identity:
        """Identify a payload that is put under the base key ``key``, ``nbytes`` long as stored."""
        return cls(
            **vars(parse_base_key(key)),
            **vars(facts),
            nbytes=nbytes,
            created=created,
            seal=seal,
            nonce=nonce,
            tenant=tenant,
        )

    @property
    def facts(self) -> ChunkFacts:
        """What the payload means."""
        return ChunkFacts(self.format, self.layout, self.dtype, self.shape, self.tokens)

    @property
    def owner(self) -> BaseKey:
        """The parts of the base key."""
        return BaseKey(self.model_name, self.world_size, self.worker_id, self.chunk_hash)

    @property
    def key(self) -> str:
        """The base key."""
        return base_key(self.model_name, self.world_size, self.worker_id, self.chunk_hash)

    def to_fields(self) -> dict[str, str]:
        """Return the fields as a store keeps them."""
        return {
            **{name: getattr(self, name) for name in _TEXTS},
            **{name: str(getattr(self, name)) for name in _INTEGERS},
            "shape": ",".join(map(str, self.shape)),
            "nonce": self.nonce.hex(),
            **({"tenant": self.tenant} if self.tenant else {}),
        }

    def to_bytes(self) -> bytes:
        """Return canonical JSON, which a tag covers together with the payload."""
        return json.dumps(self.to_fields(), sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True)
class ChunkRecord:
    """The record of an entry, which commits its payload."""

    identity: Identity
    tag: bytes
    """Computed by the seal from the payload as stored and the identity."""

    @classmethod
    def from_fields(cls, fields: Mapping[str, str]) -> ChunkRecord | None:
        """Invert :meth:`to_fields`; None unless ``fields`` are exactly what that returns.

        ``fields`` come from a store, so they may be anything.
        """
        if not all(isinstance(text, str) for text in fields.values()):
            return None
        try:
            "".join(fields.values()).encode()  # raises for lone surrogates
            identity = Identity(
                model_name=fields["model_name"],
                format=fields["format"],
                chunk_hash=fields["chunk_hash"],
                layout=fields["layout"],
                dtype=fields["dtype"],
                seal=fields["seal"],
                shape=tuple(map(int, filter(None, fields["shape"].split(",")))),
                nonce=bytes.fromhex(fields["nonce"]),
                tenant=fields.get("tenant", ""),
                **{name: int(fields[name]) for name in _INTEGERS},
            )
            record = cls(identity, bytes.fromhex(fields["tag"]))
        except (KeyError, ValueError):
            return None
        return record if record.to_fields() == fields else None

    @classmethod
    def read(cls, fields: Mapping[str, str], key: str) -> ChunkRecord | None:
        """Return the record in ``fields`` if it is one of ``key``; None otherwise."""
        record = cls.from_fields(fields)
        return record if record is not None and record.names(key) else None

    def names(self, key: str) -> bool:
        """Whether this is the record of ``key``."""
        return self.identity.owner == parse_base_key(key)

    def says(self, facts: ChunkFacts, nbytes: int) -> bool:
        """Whether the payload means ``facts`` and has ``nbytes`` as stored."""
        return self.identity.facts == facts and self.identity.nbytes == nbytes

    def to_fields(self) -> dict[str, str]:
        """Return the fields as a store keeps them."""
        return {**self.identity.to_fields(), "tag": self.tag.hex()}


def as_chunk_bytes(payload: memoryview, chunk: ChunkFormat) -> memoryview:
    """Return ``payload`` as flat bytes.

    Raises:
        ValueError: ``payload`` isn't exactly one chunk long.
    """
    if payload.nbytes != chunk.nbytes:
        raise ValueError(f"payload of {payload.nbytes} bytes; a chunk here has {chunk.nbytes}")
    return payload.cast("B")
