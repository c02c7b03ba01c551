"""Keeps pieces of known formats in a store of entries; payloads have a meaning only here."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from kvtransfer.stores.codec import NAIVE
from kvtransfer.stores.codecs import open_forms
from kvtransfer.stores.record import ChunkFacts, as_chunk_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.chunks.layout import ChunkFormat, Formats
    from kvtransfer.stores.codec import Codec
    from kvtransfer.stores.interface import Store
    from kvtransfer.stores.record import Identity
    from kvtransfer.stores.stored_forms import StoredForms


class FormattedStore:
    """A :class:`ChunkStore` of the entries of ``formats`` on ``store``, which it owns and closes.

    Args:
        store: holds the entries.
        formats: of the pieces; an entry is a shard.
        forms: encode and decode payloads; None: they are put as they are, and all are read.

    Raises:
        ConfigError: the store can't hold even one piece.
    """

    def __init__(self, store: Store, formats: Formats, forms: StoredForms | None = None) -> None:
        self.store = store
        """The store of entries, which may have any format."""
        self._formats = formats.entries
        self._forms = forms or open_forms("naive")
        store.require_room(self._formats.slot_bytes)

    @property
    def parallelism(self) -> int:
        """See :class:`kvtransfer.stores.interface.Store`."""
        return self.store.parallelism

    def open_breakers(self) -> int:
        """See :class:`kvtransfer.stores.interface.Store`."""
        return self.store.open_breakers()

    def contains(self, keys: Sequence[str]) -> list[bool]:
        """See :class:`kvtransfer.stores.interface.ChunkStore`."""
        return self.store.contains(keys, self._chunk_bytes)

    def get_into(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        """See :class:`kvtransfer.stores.interface.ChunkStore`; removes an entry that can't be read."""
        form = self._formats.of(key)
        target = as_chunk_bytes(payload, form)
        began_s = time.monotonic()
        record = self.store.get_into(key, target, tenant)
        if record is None:
            return False
        nbytes = record.identity.nbytes
        self._forms.note_fetched(nbytes, time.monotonic() - began_s)
        codec = self._reader(form, record.identity)
        if codec is not None and self._forms.decode(codec, target, nbytes, form):
            return True
        self.store.remove(key)
        return False

    def put(
        self, key: str, payload: memoryview, tenant: str = "", ttl_s: int | None = None
    ) -> bool:
        """See :class:`kvtransfer.stores.interface.ChunkStore`."""
        form = self._formats.of(key)
        chunk = as_chunk_bytes(payload, form)
        store = self.store if ttl_s is None else self.store.living_for(ttl_s)
        if store is None:
            return False
        if store.renew(key, partial(self._serves, form)):
            return True
        with self._forms.encoded(chunk, form) as stored:
            facts, began_s = ChunkFacts.of(form, stored.format), time.monotonic()
            is_put = store.put(key, stored.payload, facts, tenant)
            if is_put:
                self._forms.note_put(stored, len(chunk), time.monotonic() - began_s)
        return is_put

    def expect_puts(self, keys: Sequence[str]) -> None:
        """See :class:`kvtransfer.stores.interface.Store`."""
        self.store.expect_puts(keys)

    def close(self) -> None:
        """See :class:`kvtransfer.stores.interface.ChunkStore`."""
        self.store.close()

    def _chunk_bytes(self, key: str) -> int:
        return self._formats.of(key).nbytes

    def _serves(self, form: ChunkFormat, identity: Identity) -> bool:
        codec = self._reader(form, identity)
        return codec is not None and codec.may_have(identity.nbytes, form)

    def _reader(self, form: ChunkFormat, identity: Identity) -> Codec | None:
        """The codec that reads the entry; None where the record isn't that of such a chunk."""
        is_quantised = form.codec != NAIVE.name  # then stores hold it as it is, under that name
        codec = NAIVE if is_quantised else self._forms.reader(identity.format)
        is_ours = identity.facts == ChunkFacts.of(form, identity.format)
        return codec if is_ours and codec is not None and codec.suits(form) else None
