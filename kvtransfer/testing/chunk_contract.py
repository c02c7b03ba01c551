"""Tests what every store must do with chunks of one format."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from kvtransfer.stores import StoreSettings
from kvtransfer.testing.sample import ABSENT_KEY, CHUNK, KEY, OTHER_KEY, PAYLOAD, get

if TYPE_CHECKING:
    from kvtransfer.stores import ChunkStore
    from kvtransfer.testing.backing import Backing


class StoreContract:
    """Tests of any store's chunks: subclass it in a test module that has two fixtures.

    ``backing`` is a fresh, empty :class:`Backing`; ``store`` is what its ``open`` returns for
    ``CHUNK`` and default settings, closed afterwards.
    """

    def test_get_returns_what_was_put(self, store: ChunkStore) -> None:
        assert store.put(KEY, memoryview(PAYLOAD))
        assert get(store, KEY) == PAYLOAD

    def test_put_and_get_take_unaligned_views(self, store: ChunkStore) -> None:
        padded, target = bytearray(b"x" + PAYLOAD + b"x"), bytearray(CHUNK.nbytes + 3)
        assert store.put(KEY, memoryview(padded)[1:-1])
        padded[:] = bytes(len(padded))  # the store must not have kept the caller's memory
        assert store.get_into(KEY, memoryview(target)[3:])
        assert target == b"\0\0\0" + PAYLOAD

    def test_an_absent_key_is_a_miss(self, store: ChunkStore) -> None:
        store.put(KEY, memoryview(PAYLOAD))
        assert get(store, ABSENT_KEY) is None

    def test_contains_answers_in_the_order_asked(self, store: ChunkStore) -> None:
        store.put(KEY, memoryview(PAYLOAD))
        store.put(OTHER_KEY, memoryview(PAYLOAD))
        asked = [OTHER_KEY, ABSENT_KEY, KEY, ABSENT_KEY, KEY]
        assert store.contains(asked) == [True, False, True, False, True]
        assert store.contains([]) == []

    def test_an_entry_already_there_is_kept(self, store: ChunkStore, backing: Backing) -> None:
        store.put(KEY, memoryview(PAYLOAD))
        fields = backing.fields(KEY)
        assert store.put(KEY, memoryview(PAYLOAD[::-1]))
        assert (backing.payload(KEY), backing.fields(KEY)) == (PAYLOAD, fields)

    def test_a_payload_of_another_length_is_refused(self, store: ChunkStore) -> None:
        short = memoryview(bytearray(CHUNK.nbytes - 1))
        for call in (store.put, store.get_into):
            with suppress(ValueError):
                call(KEY, short)
                raise AssertionError("took a payload one byte short")
        assert store.contains([KEY]) == [False]

    def test_a_flipped_bit_is_a_miss(self, store: ChunkStore, backing: Backing) -> None:
        store.put(KEY, memoryview(PAYLOAD))
        for at in (0, CHUNK.nbytes // 2, CHUNK.nbytes - 1):
            flipped = bytearray(PAYLOAD)
            flipped[at] ^= 0x10
            backing.set_payload(KEY, bytes(flipped))
            assert_mended(store, backing)

    def test_a_wrong_length_is_a_miss(self, store: ChunkStore, backing: Backing) -> None:
        store.put(KEY, memoryview(PAYLOAD))
        for damaged in (b"", PAYLOAD[:-1], PAYLOAD + b"\0", PAYLOAD * 2):
            backing.set_payload(KEY, damaged)
            assert_mended(store, backing)

    def test_half_an_entry_is_a_miss(self, store: ChunkStore, backing: Backing) -> None:
        store.put(KEY, memoryview(PAYLOAD))
        for remove in (backing.set_payload, backing.set_fields):
            remove(KEY, None)
            assert store.contains([KEY]) == [False]
            assert_mended(store, backing)

    def test_a_damaged_record_is_a_miss(self, store: ChunkStore, backing: Backing) -> None:
        store.put(KEY, memoryview(PAYLOAD))
        for name in sorted(backing.fields(KEY) or {}):
            fields = backing.fields(KEY) or {}
            backing.set_fields(KEY, {**fields, name: fields[name] + "~"})
            assert_mended(store, backing)
            backing.set_fields(KEY, {k: v for k, v in fields.items() if k != name})
            assert_mended(store, backing)

    def test_an_entry_copied_to_another_key_is_a_miss(
        self, store: ChunkStore, backing: Backing
    ) -> None:
        store.put(OTHER_KEY, memoryview(PAYLOAD[::-1]))
        backing.set_payload(KEY, backing.payload(OTHER_KEY))
        backing.set_fields(KEY, backing.fields(OTHER_KEY))
        assert_mended(store, backing)
        assert get(store, OTHER_KEY) == PAYLOAD[::-1]

    def test_another_format_under_the_same_key_is_a_miss(
        self, store: ChunkStore, backing: Backing
    ) -> None:
        others: tuple[dict[str, object], ...] = (
            {"layout": "opaque:pages"},
            {"dtype": "int8"},
            {"shape": (2, 3, 7, 11, 13)},
            {"tokens": 8},
            {"shape": (1,), "nbytes": 1},
        )
        for changes in others:
            store.put(KEY, memoryview(PAYLOAD))
            other = replace(CHUNK, **changes)  # type: ignore[arg-type]
            with closing(backing.open(other, StoreSettings())) as stranger:
                assert not stranger.get_into(KEY, memoryview(bytearray(other.nbytes)))
            assert get(store, KEY) is None, f"{changes} was served"

    def test_an_entry_expires_as_a_whole(self, backing: Backing) -> None:
        with closing(backing.open(CHUNK, StoreSettings(ttl_s=100))) as store:
            store.put(KEY, memoryview(PAYLOAD))
            backing.elapse(60)
            assert store.put(KEY, memoryview(PAYLOAD))  # lives on for another 100 s
            backing.elapse(60)
            assert get(store, KEY) == PAYLOAD
            backing.elapse(60)
            assert store.contains([KEY]) == [False]
            assert (backing.payload(KEY), backing.fields(KEY)) == (None, None)

    def test_a_hit_renews_an_entry_where_that_is_wanted(self, backing: Backing) -> None:
        settings = StoreSettings(ttl_s=100, refresh_ttl=True)
        with closing(backing.open(CHUNK, settings)) as store:
            store.put(KEY, memoryview(PAYLOAD))
            for _ in range(3):
                backing.elapse(60)
                assert get(store, KEY) == PAYLOAD
            backing.elapse(120)
            assert get(store, KEY) is None

    def test_an_entry_that_may_not_live_long_ends_in_time_or_is_not_put(
        self, backing: Backing
    ) -> None:
        with closing(backing.open(CHUNK, StoreSettings(ttl_s=100))) as store:
            is_put = store.put(KEY, memoryview(PAYLOAD), "", 40)
            assert store.contains([KEY]) == [is_put]
            backing.elapse(60)
            assert store.contains([KEY]) == [False]
            assert get(store, KEY) is None

    def test_without_ttl_an_entry_stays(self, store: ChunkStore, backing: Backing) -> None:
        store.put(KEY, memoryview(PAYLOAD))
        backing.elapse(10**6)
        assert get(store, KEY) == PAYLOAD

    def test_concurrent_writers_never_tear_an_entry(
        self, store: ChunkStore, backing: Backing
    ) -> None:
        versions = [bytes([i]) * CHUNK.nbytes for i in range(1, 5)]

        def write(version: bytes) -> None:
            for _ in range(40):
                assert store.put(KEY, memoryview(version))
                backing.set_fields(KEY, None)  # else the first version would stay for good

        def read() -> list[bytes]:
            return [got for _ in range(80) if (got := get(store, KEY)) is not None]

        with ThreadPoolExecutor(6) as pool:
            readers = [pool.submit(read) for _ in range(2)]
            list(pool.map(write, versions))
            assert {got for reader in readers for got in reader.result()} <= set(versions)
        assert store.put(KEY, memoryview(PAYLOAD))
        assert get(store, KEY) in [PAYLOAD, *versions]


def assert_mended(store: ChunkStore, backing: Backing) -> None:
    """Check that the damaged entry of ``KEY`` is a miss, is removed, and can be put again."""
    assert get(store, KEY) is None
    assert (backing.payload(KEY), backing.fields(KEY)) == (None, None)
    assert store.put(KEY, memoryview(PAYLOAD))
    assert get(store, KEY) == PAYLOAD
