"""Holds the seals of a deployment: the first seals and opens, the others only open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError
from kvtransfer.metrics import Metrics
from kvtransfer.stores.seals.digest import checksum, keyed_hash
from kvtransfer.stores.seals.key_file import read_key
from kvtransfer.stores.seals.seal import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from pydantic import SecretBytes

    from kvtransfer.config import TransferConfig
    from kvtransfer.stores.interface import Serves
    from kvtransfer.stores.record import ChunkFacts, ChunkRecord
    from kvtransfer.stores.seals.seal import Opening, Seal, Sealed


class Seals:
    """Seals and opens the payloads of a store; ``metrics`` count those that are refused.

    Safe to use from several threads.
    """

    def __init__(self, seals: Sequence[Seal], metrics: Metrics) -> None:
        self._first = seals[0]
        self._by_name = {seal.name: seal for seal in seals}
        self._metrics = metrics

    @classmethod
    def unkeyed(cls) -> Seals:
        """Make seals of a checksum alone, which finds accidents and needs no secret."""
        return cls([checksum()], Metrics())

    @classmethod
    def open(cls, config: TransferConfig, metrics: Metrics) -> Seals:
        """Make seals of the key files that ``config`` names, or a checksum where it names none.

        Raises:
            ConfigError: a file can't be used, a library is missing, or both kinds are named.
        """
        integrity, encryption = config.integrity_key_file, config.encryption_key_file
        if integrity and encryption:
            raise ConfigError(
                "integrity_key_file and encryption_key_file are both set; encryption verifies "
                "what it decrypts, so leave integrity_key_file out"
            )
        seals: list[Seal] = [
            *(keyed_hash(read_key(path, "integrity_key_file")) for path in integrity or ()),
            *(_encryption(read_key(path, "encryption_key_file")) for path in encryption or ()),
        ]
        return cls(seals or [checksum()], metrics)

    def sealed(
        self, key: str, facts: ChunkFacts, payload: memoryview, tenant: str, topic: str = ""
    ) -> AbstractContextManager[Sealed]:
        """See :class:`kvtransfer.stores.seals.seal.Seal`; uses the first seal."""
        return self._first.sealed(key, facts, payload, tenant, topic)

    def opens(self, name: str) -> bool:
        """Whether ``name`` is one of our seals, whose payloads we can open."""
        return name in self._by_name

    def keep(self, record: ChunkRecord | None, serves: Serves) -> bool:
        """Whether an entry with ``record`` may stay: it names one of our seals, and ``serves``."""
        if record is None or record.identity.seal not in self._by_name:
            return False
        return serves(record.identity)

    def opening(self, record: ChunkRecord, tenant: str) -> Opening:
        """See :class:`kvtransfer.stores.seals.seal.Seal`; with an unknown seal it is never genuine."""
        seal = self._by_name.get(record.identity.seal)
        opening = Refusal() if seal is None else seal.opening(record, tenant)
        return _Counted(opening, self._metrics)

    def open_whole(self, record: ChunkRecord, payload: memoryview, tenant: str) -> bool:
        """Verify that ``payload`` is that of ``record``; encrypted bytes are decrypted in place."""
        opening = self.opening(record, tenant)
        opening.update(payload)
        return opening.is_genuine()


class _Counted:
    """An opening that counts if it isn't genuine."""

    def __init__(self, opening: Opening, metrics: Metrics) -> None:
        self._metrics = metrics
        self._opening = opening
        self.update = opening.update

    def is_genuine(self) -> bool:
        is_genuine = self._opening.is_genuine()
        self._metrics.add("unverified_chunks", not is_genuine)
        return is_genuine


def _encryption(secret: SecretBytes) -> Seal:
    try:
        from kvtransfer.stores.seals.cipher import CipherSeal
    except ImportError:
        raise ConfigError(
            "encryption_key_file needs the cryptography library: pip install '.[encryption]'"
        ) from None
    return CipherSeal(secret)
