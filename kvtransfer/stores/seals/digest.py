"""Seals whose tag is a digest: of no key against accidents, of a secret key against people."""

from __future__ import annotations

import time
from contextlib import contextmanager
from hmac import compare_digest
from typing import TYPE_CHECKING, Protocol

from xxhash import xxh3_64

from kvtransfer.errors import ConfigError
from kvtransfer.stores.record import ChunkRecord, Identity
from kvtransfer.stores.seals.seal import Sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic import SecretBytes

    from kvtransfer.stores.record import ChunkFacts


# BLAKE3 derives independent keys from one secret by such texts.
_TAG_CONTEXT = "kvtransfer 2026 integrity tag"
_NAME_CONTEXT = "kvtransfer 2026 integrity key name"
_NAME_BYTES = 8


class Hasher(Protocol):
    """The part of a hash function that is used here."""

    def update(self, data: bytes | memoryview, /) -> object:
        """Take in more bytes."""
        ...

    def digest(self) -> bytes:
        """Of all bytes so far."""
        ...


class DigestSeal:
    """Payloads are stored as they are; ``new`` returns a hasher that has taken in nothing."""

    def __init__(self, name: str, new: Callable[[], Hasher]) -> None:
        self.name = name
        """See :class:`kvtransfer.stores.seals.seal.Seal`."""
        self._new = new

    @contextmanager
    def sealed(
        self, key: str, facts: ChunkFacts, payload: memoryview, tenant: str
    ) -> Iterator[Sealed]:
        """See :class:`kvtransfer.stores.seals.seal.Seal`."""

        def record() -> ChunkRecord:
            identity = Identity.of(
                key, facts, nbytes=len(payload), created=int(time.time()), seal=self.name
            )
            hasher = self._new()
            hasher.update(payload)
            return ChunkRecord(identity, _tag(hasher, identity))

        yield Sealed(payload, record)

    def opening(self, record: ChunkRecord, tenant: str) -> DigestOpening:
        """See :class:`kvtransfer.stores.seals.seal.Seal`."""
        return DigestOpening(record, self._new())


class DigestOpening:
    """See :class:`kvtransfer.stores.seals.seal.Opening`."""

    def __init__(self, record: ChunkRecord, hasher: Hasher) -> None:
        self._record = record
        self._hasher = hasher

    def update(self, piece: memoryview) -> None:
        """See :class:`kvtransfer.stores.seals.seal.Opening`."""
        self._hasher.update(piece)

    def is_genuine(self) -> bool:
        """See :class:`kvtransfer.stores.seals.seal.Opening`."""
        return compare_digest(_tag(self._hasher, self._record.identity), self._record.tag)


def checksum() -> DigestSeal:
    """XXH3: finds what was damaged or misplaced, and keeps out nobody who means harm."""
    return DigestSeal("xxh3", xxh3_64)


def keyed_hash(secret: SecretBytes) -> DigestSeal:
    """BLAKE3 with a key: who doesn't know ``secret`` can't make an entry that is accepted.

    Raises:
        ConfigError: the library isn't installed.
    """
    try:
        from blake3 import blake3
    except ImportError:
        raise ConfigError(
            "integrity_key_file needs the blake3 library: pip install '.[integrity]'"
        ) from None
    material = secret.get_secret_value()
    name = blake3(material, derive_key_context=_NAME_CONTEXT).digest(_NAME_BYTES).hex()
    keyed = blake3(key=blake3(material, derive_key_context=_TAG_CONTEXT).digest())
    return DigestSeal(f"blake3:{name}", keyed.copy)


def _tag(hasher: Hasher, identity: Identity) -> bytes:
    """``hasher`` has taken in the payload; the length says where that ended."""
    named = identity.to_bytes()
    hasher.update(named + len(named).to_bytes(8, "little"))
    return hasher.digest()
