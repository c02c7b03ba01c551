"""The pieces of a prompt in a store: each can be taken away, damaged, or forged, and comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.stores.record import ChunkRecord
from kvtransfer.stores.seals.digest import checksum
from tests.connector.entries import Entries

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.connector.models.groups import Piece

_PAYLOAD = b"_bytes"


class Pieces(Entries):
    """The entries of the store at ``url``, each known as a piece of one prompt."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._keys: dict[Piece, bytes] = {}
        self._found: dict[Piece, tuple[dict[bytes, bytes], bytes]] = {}
        """The record and the payload that an engine has put."""

    def note(self, groups: int, chunk: int) -> None:
        """Wait for the pieces of the next chunk, one in each group, and remember them."""
        self.await_count(groups * (chunk + 1))
        for key in set(self.keys()) - set(self._keys.values()):
            piece = _group(key), chunk
            assert piece not in self._keys, f"{piece} has two entries"
            self._keys[piece] = key
            self._found[piece] = (
                self._client.hgetall(key),
                self._client.get(key + _PAYLOAD),
            )

    @property
    def known(self) -> set[Piece]:
        """All that have been noted."""
        return set(self._keys)

    def mend(self) -> None:
        """Put everything back as the engine has put it."""
        self.clear()
        for piece, (record, payload) in self._found.items():
            self._write(piece, record, payload)

    def remove(self, pieces: Iterable[Piece]) -> None:
        """Take the entries of ``pieces`` away."""
        for piece in pieces:
            self._client.delete(self._keys[piece], self._keys[piece] + _PAYLOAD)

    def damage(self, pieces: Iterable[Piece]) -> None:
        """Have ``pieces`` hold other bytes than their records say."""
        for piece in pieces:
            record, payload = self._found[piece]
            self._write(piece, record, _rotated(payload))

    def forge(self, pieces: Iterable[Piece]) -> None:
        """Have ``pieces`` hold other bytes, with records to match: no checksum finds that."""
        for piece in pieces:
            record, payload = self._found[piece]
            self._write(piece, _sealed_anew(record, _rotated(payload)), _rotated(payload))

    def _write(self, piece: Piece, record: dict, payload: bytes) -> None:
        key = self._keys[piece]
        self._client.set(key + _PAYLOAD, payload)
        self._client.hset(key, mapping=record)


def _group(key: bytes) -> int:
    """The group of an entry; that of the first one isn't written."""
    return int(key.rpartition(b"@")[2].partition(b"-")[2] or 0)


def _rotated(payload: bytes) -> bytes:
    """The same numbers, each elsewhere."""
    start = len(payload) // 3 // 4 * 4
    return payload[start:] + payload[:start]


def _sealed_anew(record: dict[bytes, bytes], payload: bytes) -> dict[str, str]:
    fields = {name.decode(): text.decode() for name, text in record.items()}
    identity = ChunkRecord.from_fields(fields).identity
    with checksum().sealed(identity.key, identity.facts, memoryview(payload), "") as sealed:
        return sealed.record().to_fields()
