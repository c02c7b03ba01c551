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
from kvtransfer.stores.seals.seal import Refusal, Sealed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.hazmat.primitives.ciphers import AEADDecryptionContext
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
        self, key: str, facts: ChunkFacts, payload: memoryview, tenant: str
    ) -> Iterator[Sealed]:
        """See :class:`kvtransfer.stores.seals.seal.Seal`."""
        identity = Identity.of(
            key,
            facts,
            nbytes=len(payload),
            created=int(time.time()),
            seal=self.name,
            nonce=os.urandom(_NONCE_BYTES),
        )
        with self._buffers.taken(len(payload)) as buffer:
            mode = modes.GCM(identity.nonce)
            encryptor = Cipher(self._cipher_key(tenant), mode).encryptor()
            encryptor.authenticate_additional_data(identity.to_bytes())
            encryptor.update_into(payload, buffer)
            encryptor.finalize()
            record = ChunkRecord(identity, encryptor.tag)
            yield Sealed(buffer, lambda: record)

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
