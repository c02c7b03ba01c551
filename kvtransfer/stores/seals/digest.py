"""Seals by a digest: without a key against accidents, with a secret key against attackers."""

from __future__ import annotations

import time
from contextlib import contextmanager
from hmac import compare_digest
from typing import TYPE_CHECKING, Protocol

from xxhash import xxh3_64

from kvtransfer.errors import ConfigError
from kvtransfer.stores.record import ChunkRecord, Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic import SecretBytes

    from kvtransfer.stores.record import ChunkFacts


# BLAKE3 derives an independent key from one secret for each such text.
_TAG_CONTEXT = "kvtransfer 2026 integrity tag"
_NAME_CONTEXT = "kvtransfer 2026 integrity key name"
_NAME_BYTES = 8


class Hasher(Protocol):
    """The methods of a hash function that are used here."""

    def update(self, data: bytes | memoryview, /) -> object:
        """Take in more bytes."""
        ...

    def digest(self) -> bytes:
        """Return the digest of all bytes so far."""
        ...


class DigestSeal:
    """Stores payloads as they are, with a digest for the tag; ``new`` makes a fresh hasher."""

    def __init__(self, name: str, new: Callable[[], Hasher]) -> None:
        self.name = name
        """See :class:`kvtransfer.stores.seals.seal.Seal`."""
        self._new = new

    @contextmanager
    def sealed(
        self, key: str, facts: ChunkFacts, payload: memoryview, tenant: str, topic: str = ""
    ) -> Iterator[DigestSealed]:
        """See :class:`kvtransfer.stores.seals.seal.Seal`."""
        del topic  # nothing is encrypted
        identity = Identity.of(
            key,
            facts,
            nbytes=len(payload),
            created=int(time.time()),
            seal=self.name,
            tenant=tenant,
        )
        yield DigestSealed(identity, payload, self._new())

    def opening(self, record: ChunkRecord, tenant: str) -> DigestOpening:
        """See :class:`kvtransfer.stores.seals.seal.Seal`."""
        return DigestOpening(record, self._new())


class DigestSealed:
    """A payload as it is; see :class:`kvtransfer.stores.seals.seal.Sealed`."""

    def __init__(self, identity: Identity, payload: memoryview, hasher: Hasher) -> None:
        self._identity = identity
        self._hasher = hasher
        self._hashed_bytes = 0
        self._record: ChunkRecord | None = None
        self.payload = payload
        """See :class:`kvtransfer.stores.seals.seal.Sealed`."""

    def __len__(self) -> int:
        return len(self.payload)

    def part(self, begin: int, end: int) -> memoryview:
        """See :class:`kvtransfer.stores.seals.seal.Sealed`."""
        if end > self._hashed_bytes:
            self._hasher.update(self.payload[self._hashed_bytes : end])
            self._hashed_bytes = end
        return self.payload[begin:end]

    def record(self) -> ChunkRecord:
        """See :class:`kvtransfer.stores.seals.seal.Sealed`."""
        if self._record is None:
            self.part(0, len(self))
            self._record = ChunkRecord(self._identity, _tag(self._hasher, self._identity))
        return self._record


class DigestOpening:
    """Hashes and verifies one payload; see :class:`kvtransfer.stores.seals.seal.Opening`."""

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
    """Make a seal by XXH3, which finds damaged and misplaced payloads, but not forged ones."""
    return DigestSeal("xxh3", xxh3_64)


def keyed_hash(secret: SecretBytes) -> DigestSeal:
    """Make a seal by BLAKE3 with a key: only those who know ``secret`` can make valid entries.

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
    """Compute the tag with ``hasher``, which has hashed the payload; the length marks its end."""
    named = identity.to_bytes()
    hasher.update(named + len(named).to_bytes(8, "little"))
    return hasher.digest()
