"""Tests what every store must do with entries of any format and length."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import base_key
from kvtransfer.metrics import Metrics
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.stores.record import ChunkFacts
from kvtransfer.stores.stored_forms import StoredForms
from kvtransfer.testing.half_bytes import HalfBytes
from kvtransfer.testing.sample import ABSENT_KEY, CHUNK, KEY, OTHER_KEY, PAYLOAD, get

if TYPE_CHECKING:
    from kvtransfer.testing.backing import Backing

_HALVED = bytes(each & 0xF0 for each in PAYLOAD)
_FACTS = ChunkFacts.of(CHUNK, "half")


class EntryContract:
    """Tests of any store's entries; ``backing`` is a fixture as for ``StoreContract``."""

    def test_a_stored_form_that_is_shorter_comes_back(self, backing: Backing) -> None:
        half = HalfBytes()
        forms = StoredForms(half, {half.name: half}, Metrics(), is_chosen=False)
        with closing(FormattedStore(backing.entries(StoreSettings()), CHUNK, forms)) as store:
            assert store.put(KEY, memoryview(PAYLOAD))
            assert store.contains([KEY, ABSENT_KEY]) == [True, False]
            assert get(store, KEY) == _HALVED
            assert store.put(KEY, memoryview(PAYLOAD))
            assert get(store, KEY) == _HALVED

    def test_a_store_that_only_reads_leaves_what_is_damaged(self, backing: Backing) -> None:
        with closing(backing.entries(StoreSettings())) as store:
            assert store.put(KEY, memoryview(PAYLOAD), _FACTS)
        damaged = PAYLOAD[:-1] + bytes([PAYLOAD[-1] ^ 1])
        backing.set_payload(KEY, damaged)
        for only_reads in (True, True, False):
            with closing(backing.entries(StoreSettings(only_reads=only_reads))) as store:
                assert store.get_into(KEY, memoryview(bytearray(CHUNK.nbytes))) is None
                assert (store.record_of(KEY) is not None) is only_reads
        assert backing.payload(KEY) is None

    def test_a_record_is_told_as_it_is(self, backing: Backing) -> None:
        with closing(backing.entries(StoreSettings())) as store:
            assert store.record_of(KEY) is None
            store.put(KEY, memoryview(PAYLOAD), _FACTS)
            record = store.record_of(KEY)
            assert record is not None
            assert record == store.stat(KEY)

    def test_any_length_fills_the_front_of_a_longer_buffer(self, backing: Backing) -> None:
        with closing(backing.entries(StoreSettings())) as store:
            for nbytes in (1, 4095, 4096, 4097, 8192, (5 << 20) + 3):
                sent = (PAYLOAD * (1 + nbytes // len(PAYLOAD)))[:nbytes]
                store.remove(KEY)
                assert store.put(KEY, memoryview(sent), _FACTS)
                for more in (0, 1, 4096, 3 << 20):
                    buffer = bytearray(nbytes + more)
                    record = store.get_into(KEY, memoryview(buffer))
                    assert record is not None, (nbytes, more)
                    assert record.says(_FACTS, nbytes)
                    assert buffer[:nbytes] == sent

    def test_an_entry_longer_than_the_buffer_is_a_miss(self, backing: Backing) -> None:
        with closing(backing.entries(StoreSettings())) as store:
            for nbytes in (6006, 8192, 5 << 20):
                sent = bytes(nbytes)
                for less in (1, 4096, nbytes - 1):
                    assert store.put(KEY, memoryview(sent), _FACTS)
                    around = bytearray(b"x" * (nbytes + 64))
                    buffer = memoryview(around)[: nbytes - less]
                    assert store.get_into(KEY, buffer) is None
                    assert around[nbytes - less :] == b"x" * (less + 64)
                    assert store.stat(KEY) is None

    def test_a_length_that_lies_never_writes_beyond_the_buffer(self, backing: Backing) -> None:
        with closing(backing.entries(StoreSettings())) as store:
            for lie in ("0", "-1", "1", "6005", "6007", "8192", "12288", str(2**63), "9" * 30):
                store.put(KEY, memoryview(PAYLOAD), _FACTS)
                backing.set_fields(KEY, {**(backing.fields(KEY) or {}), "nbytes": lie})
                around = bytearray(b"x" * (3 * CHUNK.nbytes))
                assert store.get_into(KEY, memoryview(around)[: CHUNK.nbytes]) is None
                assert around[CHUNK.nbytes :] == b"x" * (2 * CHUNK.nbytes)

    def test_an_entry_that_serves_is_renewed_and_no_other(self, backing: Backing) -> None:
        with closing(backing.entries(StoreSettings(ttl_s=100))) as store:
            assert store.put(KEY, memoryview(PAYLOAD), _FACTS)
            assert not store.renew(KEY, lambda _: False)
            assert not store.renew(ABSENT_KEY, lambda _: True)
            backing.elapse(60)
            assert store.renew(KEY, lambda found: (found.facts, found.nbytes) == (_FACTS, 6006))
            backing.elapse(60)
            assert store.contains([KEY]) == [True]
            assert backing.payload(KEY) == PAYLOAD

    def test_a_put_takes_the_place_of_what_is_there(self, backing: Backing) -> None:
        with closing(backing.entries(StoreSettings())) as store:
            for sent in (PAYLOAD, PAYLOAD[:100], PAYLOAD[::-1]):
                assert store.put(KEY, memoryview(sent), _FACTS)
                buffer = bytearray(CHUNK.nbytes)
                assert store.get_into(KEY, memoryview(buffer)) is not None
                assert buffer[: len(sent)] == sent

    def test_entries_are_listed_with_their_length_and_time(self, backing: Backing) -> None:
        with closing(backing.entries(StoreSettings())) as store:
            assert list(store.entries()) == []
            store.put(KEY, memoryview(PAYLOAD), _FACTS)
            store.put(OTHER_KEY, memoryview(PAYLOAD)[:100], _FACTS)
            listed = {entry.key: entry for entry in store.entries()}
            assert {key: entry.nbytes for key, entry in listed.items()} == {
                KEY: CHUNK.nbytes,
                OTHER_KEY: 100,
            }
            assert all(abs(time.time() - entry.created_s) < 60 for entry in listed.values())

    def test_many_entries_are_all_listed(self, backing: Backing) -> None:
        keys = {base_key("org/model", 1, 0, f"{i:032x}") for i in range(300)}
        with closing(backing.entries(StoreSettings())) as store:
            for key in keys:
                store.put(key, memoryview(b"bytes"), _FACTS)
            assert {entry.key for entry in store.entries()} == keys

    def test_what_is_no_entry_is_not_listed(self, backing: Backing) -> None:
        with closing(backing.entries(StoreSettings())) as store:
            store.put(KEY, memoryview(PAYLOAD), _FACTS)
            backing.set_fields(OTHER_KEY, {**(backing.fields(KEY) or {}), "tokens": "many"})
            backing.set_fields(ABSENT_KEY, {"dtype": "x" * 2000})
            assert [entry.key for entry in store.entries()] == [KEY]

    def test_stat_returns_the_record_and_remove_ends_it(self, backing: Backing) -> None:
        with closing(backing.entries(StoreSettings())) as store:
            assert store.stat(KEY) is None
            store.put(KEY, memoryview(PAYLOAD), _FACTS)
            record = store.stat(KEY)
            assert record is not None
            assert record.says(_FACTS, CHUNK.nbytes)
            assert record.to_fields() == backing.fields(KEY)
            store.remove(KEY)
            store.remove(KEY)
            assert store.stat(KEY) is None
            assert (backing.payload(KEY), backing.fields(KEY)) == (None, None)

    def test_stat_of_half_an_entry_is_none(self, backing: Backing) -> None:
        with closing(backing.entries(StoreSettings())) as store:
            for remove in (backing.set_payload, backing.set_fields):
                store.put(KEY, memoryview(PAYLOAD), _FACTS)
                remove(KEY, None)
                assert store.stat(KEY) is None
