"""Seals by encryption: AES-256-GCM, with a key of its own for each tenant.

The tag covers the ciphertext and, as additional data, the record's identity.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kvtransfer.stores.buffers import Buffers
from kvtransfer.stores.record import ChunkRecord, Identity
from kvtransfer.stores.seals.seal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.hazmat.primitives.ciphers import (
        AEADDecryptionContext,
        AEADEncryptionContext,
    )
    from pydantic import SecretBytes

    from kvtransfer.stores.record import ChunkFacts


_KEY_BYTES = 32
_NAME_BYTES = 8
_NONCE_BYTES = 12
_TAG_BYTES = 16
_TENANT_INFO = b"kvtransfer 2026 encryption of tenant "
_NAME_INFO = b"kvtransfer 2026 encryption key name"
# The number of tenants whose derived keys are kept.
_REMEMBERED = 256


class CipherSeal:
    """Encrypts with keys derived from ``secret``, into a buffer of its own."""

    def __init__(self, secret: SecretBytes) -> None:
        self.name = f"aes-256-gcm:{_derived(secret, _NAME_INFO, _NAME_BYTES).hex()}"
        """See :class:`kvtransfer.stores.seals.seal.Seal`."""
        self._secret = secret
        self._cipher_key = lru_cache(_REMEMBERED)(self._new_cipher_key)
        self._buffers = Buffers()
        """For ciphertext."""

    @contextmanager
    def sealed(
        self, key: str, facts: ChunkFacts, payload: memoryview, tenant: str, topic: str = ""
    ) -> Iterator[CipherSealed]:
        """See :class:`kvtransfer.stores.seals.seal.Seal`."""
        identity = Identity.of(
            key,
            facts,
            nbytes=len(payload),
            created=int(time.time()),
            seal=self.name,
            nonce=os.urandom(_NONCE_BYTES),
            tenant=tenant,
        )
        with self._buffers.taken(len(payload)) as buffer:
            mode = modes.GCM(identity.nonce)
            encryptor = Cipher(self._cipher_key(topic or tenant), mode).encryptor()
            encryptor.authenticate_additional_data(identity.to_bytes())
            yield CipherSealed(identity, payload, buffer, encryptor)

    def opening(self, record: ChunkRecord, tenant: str) -> CipherOpening | Refusal:
        """See :class:`kvtransfer.stores.seals.seal.Seal`."""
        nonce, tag = record.identity.nonce, record.tag
        if (len(nonce), len(tag)) != (_NONCE_BYTES, _TAG_BYTES):
            return Refusal()
        decryptor = Cipher(self._cipher_key(tenant), modes.GCM(nonce, tag)).decryptor()
        decryptor.authenticate_additional_data(record.identity.to_bytes())
        return CipherOpening(decryptor)

    def _new_cipher_key(self, tenant: str) -> algorithms.AES256:
        return algorithms.AES256(_derived(self._secret, _TENANT_INFO + tenant.encode(), _KEY_BYTES))


class CipherSealed:
    """A payload that ``encryptor`` encrypts into ``buffer``, which is as long.

    See :class:`kvtransfer.stores.seals.seal.Sealed`.
    """

    def __init__(
        self,
        identity: Identity,
        plain: memoryview,
        buffer: memoryview,
        encryptor: AEADEncryptionContext,
    ) -> None:
        self._identity = identity
        self._plain = plain
        self._buffer = buffer
        self._encryptor = encryptor
        self._encrypted_bytes = 0
        self._record: ChunkRecord | None = None

    def __len__(self) -> int:
        return len(self._buffer)

    @property
    def payload(self) -> memoryview:
        """See :class:`kvtransfer.stores.seals.seal.Sealed`."""
        return self.part(0, len(self))

    def part(self, begin: int, end: int) -> memoryview:
        """See :class:`kvtransfer.stores.seals.seal.Sealed`."""
        at = self._encrypted_bytes
        if end > at:
            self._encryptor.update_into(self._plain[at:end], self._buffer[at:end])
            self._encrypted_bytes = end
        return self._buffer[begin:end]

    def record(self) -> ChunkRecord:
        """See :class:`kvtransfer.stores.seals.seal.Sealed`."""
        if self._record is None:
            self.part(0, len(self))
            self._encryptor.finalize()
            self._record = ChunkRecord(self._identity, self._encryptor.tag)
        return self._record


class CipherOpening:
    """Decrypts and verifies one payload; see :class:`kvtransfer.stores.seals.seal.Opening`."""

    def __init__(self, decryptor: AEADDecryptionContext) -> None:
        self._decryptor = decryptor

    def update(self, piece: memoryview) -> None:
        """See :class:`kvtransfer.stores.seals.seal.Opening`."""
        self._decryptor.update_into(piece, piece)

    def is_genuine(self) -> bool:
        """See :class:`kvtransfer.stores.seals.seal.Opening`."""
        try:
            self._decryptor.finalize()
        except InvalidTag:
            return False
        return True


def _derived(secret: SecretBytes, info: bytes, nbytes: int) -> bytes:
    kdf = HKDF(algorithm=SHA256(), length=nbytes, salt=None, info=info)
    return kdf.derive(secret.get_secret_value())
