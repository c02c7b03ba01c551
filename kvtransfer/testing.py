"""Tests stores, ours and those written elsewhere, against a contract; causes faults on demand."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from kvtransfer.chunks.keys import base_key
from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.errors import StoreError
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.stores.record import ChunkFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kvtransfer.stores import ChunkStore, Store

CHUNK = ChunkFormat("split", "uint8", (3, 2, 7, 11, 13), tokens=7, nbytes=6006)
"""A small chunk whose length is no power of two and no multiple of a machine word."""

KEY, OTHER_KEY, ABSENT_KEY = (base_key("org/model", 2, 1, digit * 32) for digit in "abc")
PAYLOAD = bytes((i * 31 + i // 256) % 256 for i in range(CHUNK.nbytes))


class Backing(Protocol):
    """Reaches the entries behind a store directly, so that tests can damage them."""

    def open(self, chunk: ChunkFormat, settings: StoreSettings) -> ChunkStore:
        """Open another store of chunks over the same entries."""
        ...

    def entries(self, settings: StoreSettings) -> Store:
        """Open another store over the same entries, for payloads of any format."""
        ...

    def payload(self, key: str) -> bytes | None:
        """Return the payload half of ``key``'s entry; None if there is none."""
        ...

    def set_payload(self, key: str, payload: bytes | None) -> None:
        """Replace only the payload half, or remove it."""
        ...

    def fields(self, key: str) -> dict[str, str] | None:
        """Return the record half of ``key``'s entry; None if there is none."""
        ...

    def set_fields(self, key: str, fields: dict[str, str] | None) -> None:
        """Replace only the record half, or remove it."""
        ...

    def elapse(self, seconds: int) -> None:
        """Let every entry's time to live run on by ``seconds``."""
        ...


class StoreContract:
    """Tests what every store must do: subclass it in a test module and give it two fixtures.

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


class HalfBytes:
    """A lossy codec for tests: it stores the upper half of each byte, two in one byte.

    Its stored form is half as long as a chunk; chunks here have an even length.
    """

    name = "half"

    def stored_bytes(self, chunk_bytes: int) -> None:
        return None

    def encode(self, payload: memoryview) -> memoryview:
        pairs = zip(payload[::2], payload[1::2], strict=True)
        return memoryview(bytes(a & 0xF0 | b >> 4 for a, b in pairs))

    def decode(self, payload: memoryview, nbytes: int) -> bool:
        if 2 * nbytes != len(payload):
            return False
        stored = bytes(payload[:nbytes])
        payload[::2] = bytes(each & 0xF0 for each in stored)
        payload[1::2] = bytes((each & 0x0F) << 4 for each in stored)
        return True


HALVED = bytes(each & 0xF0 for each in PAYLOAD)
FACTS = ChunkFacts.of(CHUNK, "half")


class EntryContract:
    """Tests what every store must do with entries of any format; needs the fixture ``backing``, too."""

    def test_a_stored_form_that_is_shorter_comes_back(self, backing: Backing) -> None:
        with closing(FormattedStore(backing.entries(StoreSettings()), CHUNK, HalfBytes())) as store:
            assert store.put(KEY, memoryview(PAYLOAD))
            assert store.contains([KEY, ABSENT_KEY]) == [True, False]
            assert get(store, KEY) == HALVED
            assert store.put(KEY, memoryview(PAYLOAD))
            assert get(store, KEY) == HALVED

    def test_any_length_fills_the_front_of_a_longer_buffer(self, backing: Backing) -> None:
        with closing(backing.entries(StoreSettings())) as store:
            for nbytes in (1, 4095, 4096, 4097, 8192, (5 << 20) + 3):
                sent = (PAYLOAD * (1 + nbytes // len(PAYLOAD)))[:nbytes]
                store.remove(KEY)
                assert store.put(KEY, memoryview(sent), FACTS)
                for more in (0, 1, 4096, 3 << 20):
                    buffer = bytearray(nbytes + more)
                    record = store.get_into(KEY, memoryview(buffer))
                    assert record is not None, (nbytes, more)
                    assert record.says(FACTS, nbytes)
                    assert buffer[:nbytes] == sent

    def test_an_entry_longer_than_the_buffer_is_a_miss(self, backing: Backing) -> None:
        with closing(backing.entries(StoreSettings())) as store:
            for nbytes in (6006, 8192, 5 << 20):
                sent = bytes(nbytes)
                for less in (1, 4096, nbytes - 1):
                    assert store.put(KEY, memoryview(sent), FACTS)
                    around = bytearray(b"x" * (nbytes + 64))
                    buffer = memoryview(around)[: nbytes - less]
                    assert store.get_into(KEY, buffer) is None
                    assert around[nbytes - less :] == b"x" * (less + 64)
                    assert store.stat(KEY) is None

    def test_a_length_that_lies_never_writes_beyond_the_buffer(self, backing: Backing) -> None:
        with closing(backing.entries(StoreSettings())) as store:
            for lie in ("0", "-1", "1", "6005", "6007", "8192", "12288", str(2**63), "9" * 30):
                store.put(KEY, memoryview(PAYLOAD), FACTS)
                backing.set_fields(KEY, {**(backing.fields(KEY) or {}), "nbytes": lie})
                around = bytearray(b"x" * (3 * CHUNK.nbytes))
                assert store.get_into(KEY, memoryview(around)[: CHUNK.nbytes]) is None
                assert around[CHUNK.nbytes :] == b"x" * (2 * CHUNK.nbytes)

    def test_entries_are_listed_with_their_length_and_time(self, backing: Backing) -> None:
        with closing(backing.entries(StoreSettings())) as store:
            assert list(store.entries()) == []
            store.put(KEY, memoryview(PAYLOAD), FACTS)
            store.put(OTHER_KEY, memoryview(PAYLOAD)[:100], FACTS)
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
                store.put(key, memoryview(b"bytes"), FACTS)
            assert {entry.key for entry in store.entries()} == keys

    def test_what_is_no_entry_is_not_listed(self, backing: Backing) -> None:
        with closing(backing.entries(StoreSettings())) as store:
            store.put(KEY, memoryview(PAYLOAD), FACTS)
            backing.set_fields(OTHER_KEY, {**(backing.fields(KEY) or {}), "tokens": "many"})
            backing.set_fields(ABSENT_KEY, {"dtype": "x" * 2000})
            assert [entry.key for entry in store.entries()] == [KEY]

    def test_stat_returns_the_record_and_remove_ends_it(self, backing: Backing) -> None:
        with closing(backing.entries(StoreSettings())) as store:
            assert store.stat(KEY) is None
            store.put(KEY, memoryview(PAYLOAD), FACTS)
            record = store.stat(KEY)
            assert record is not None
            assert record.says(FACTS, CHUNK.nbytes)
            assert record.to_fields() == backing.fields(KEY)
            store.remove(KEY)
            store.remove(KEY)
            assert store.stat(KEY) is None
            assert (backing.payload(KEY), backing.fields(KEY)) == (None, None)

    def test_stat_of_half_an_entry_is_none(self, backing: Backing) -> None:
        with closing(backing.entries(StoreSettings())) as store:
            for remove in (backing.set_payload, backing.set_fields):
                store.put(KEY, memoryview(PAYLOAD), FACTS)
                remove(KEY, None)
                assert store.stat(KEY) is None


def get(store: ChunkStore, key: str) -> bytes | None:
    """Return the payload of ``key`` in a ``store`` of ``CHUNK``; None for a miss."""
    payload = bytearray(CHUNK.nbytes)
    return bytes(payload) if store.get_into(key, memoryview(payload)) else None


def assert_mended(store: ChunkStore, backing: Backing) -> None:
    """Assert that the damaged entry of ``KEY`` is a miss, is cleaned up, and can be put again."""
    assert get(store, KEY) is None
    assert (backing.payload(KEY), backing.fields(KEY)) == (None, None)
    assert store.put(KEY, memoryview(PAYLOAD))
    assert get(store, KEY) == PAYLOAD


class FlakyStore:
    """``store``, failing when ``failures`` says so: one of them is taken for each call.

    Give a seeded generator for a random share of failures, ``itertools.repeat(True)`` for a store
    that is down, a list for a script; calls past the end succeed.
    """

    def __init__(self, store: ChunkStore, failures: Iterable[bool]) -> None:
        self._store = store
        self._failures = iter(failures)
        self._lock = Lock()
        self.calls = 0
        """Calls made so far, failed ones included."""

    @property
    def parallelism(self) -> int:
        return self._store.parallelism

    def open_breakers(self) -> int:
        return self._store.open_breakers()

    def contains(self, keys: Sequence[str]) -> list[bool]:
        self._maybe_fail()
        return self._store.contains(keys)

    def get_into(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        self._maybe_fail()
        return self._store.get_into(key, payload, tenant)

    def put(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        self._maybe_fail()
        return self._store.put(key, payload, tenant)

    def close(self) -> None:
        self._store.close()

    def _maybe_fail(self) -> None:
        with self._lock:
            self.calls += 1
            if next(self._failures, False):
                raise StoreError(f"flaky://: call {self.calls} was told to fail")


class SlowStore:
    """``store``, each call of which first waits for ``delay_s`` seconds, or calls ``wait`` so."""

    def __init__(
        self, store: ChunkStore, delay_s: float, wait: Callable[[float], object] = time.sleep
    ) -> None:
        self._store = store
        self._delay_s = delay_s
        self._wait = wait

    @property
    def parallelism(self) -> int:
        return self._store.parallelism

    def open_breakers(self) -> int:
        return self._store.open_breakers()

    def contains(self, keys: Sequence[str]) -> list[bool]:
        self._wait(self._delay_s)
        return self._store.contains(keys)

    def get_into(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        self._wait(self._delay_s)
        return self._store.get_into(key, payload, tenant)

    def put(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        self._wait(self._delay_s)
        return self._store.put(key, payload, tenant)

    def close(self) -> None:
        self._store.close()
