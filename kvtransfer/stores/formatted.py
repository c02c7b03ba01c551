"""Keeps chunks of one format in a store of entries; payloads have a meaning only here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.stores.codec import NAIVE
from kvtransfer.stores.record import ChunkFacts, as_chunk_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.chunks.layout import ChunkFormat
    from kvtransfer.stores.codec import Codec
    from kvtransfer.stores.interface import Store


class FormattedStore:
    """A :class:`ChunkStore` of the format ``chunk`` on ``store``, which it owns and closes.

    Raises:
        ConfigError: the store can't hold even one chunk.
    """

    def __init__(self, store: Store, chunk: ChunkFormat, codec: Codec = NAIVE) -> None:
        self.store = store
        """The store of entries, which may have any format."""
        self._chunk = chunk
        self._codec = codec
        self._facts = ChunkFacts.of(chunk, codec.name)
        self._stored_bytes = codec.stored_bytes(chunk.nbytes)
        store.require_room(self._stored_bytes or 0)

    @property
    def parallelism(self) -> int:
        """See :class:`kvtransfer.stores.interface.Store`."""
        return self.store.parallelism

    def open_breakers(self) -> int:
        """See :class:`kvtransfer.stores.interface.Store`."""
        return self.store.open_breakers()

    def contains(self, keys: Sequence[str]) -> list[bool]:
        """See :class:`kvtransfer.stores.interface.ChunkStore`."""
        return self.store.contains(keys, self._stored_bytes)

    def get_into(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        """See :class:`kvtransfer.stores.interface.ChunkStore`; removes an entry of another format."""
        target = as_chunk_bytes(payload, self._chunk)
        record = self.store.get_into(key, target, tenant)
        if record is None:
            return False
        is_ours = record.identity.facts == self._facts
        if is_ours and self._codec.decode(target, record.identity.nbytes):
            return True
        self.store.remove(key)
        return False

    def put(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        """See :class:`kvtransfer.stores.interface.ChunkStore`."""
        stored = self._codec.encode(as_chunk_bytes(payload, self._chunk))
        return self.store.put(key, stored, self._facts, tenant)

    def close(self) -> None:
        """See :class:`kvtransfer.stores.interface.ChunkStore`."""
        self.store.close()
