"""A payload arrives in ranges at once, all of one object, and nothing arrives after a call."""

from __future__ import annotations

import asyncio
import os
from contextlib import closing

import pytest

from kvtransfer.errors import StoreError
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.objects import bucket
from kvtransfer.stores.objects.bucket import PART_BYTES, Arriving
from kvtransfer.stores.objects.entries import HEADER_BYTES
from kvtransfer.stores.record import ChunkFacts
from kvtransfer.testing import CHUNK, KEY, OTHER_KEY

FACTS = ChunkFacts.of(CHUNK, "naive")
PATIENT = StoreSettings(timeout_s=120)


@pytest.fixture
def entries(backing):
    with closing(backing.entries(PATIENT)) as store:
        yield store


@pytest.fixture
def ranges(entries, monkeypatch):
    """Which ranges of objects were asked for."""
    asked, read = [], entries._bucket.read

    async def noting(path, begin, end, etag=None):
        asked.append((begin, end))
        return await read(path, begin, end, etag)

    monkeypatch.setattr(entries._bucket, "read", noting)
    return asked


@pytest.mark.parametrize(
    ("nbytes", "count"),
    [
        (PART_BYTES - 1, 1), (PART_BYTES, 1), (PART_BYTES + 1, 2),
        (2 * PART_BYTES, 2), (2 * PART_BYTES + 3, 3), (4 * PART_BYTES, 4),
    ],
)  # fmt: skip
def test_long_payloads_come_in_ranges(entries, ranges, nbytes, count):
    sent = os.urandom(nbytes)
    assert entries.put(KEY, memoryview(sent), FACTS)
    around = bytearray(b"x" * (nbytes + 100))
    record = entries.get_into(KEY, memoryview(around)[:nbytes])
    assert record.says(FACTS, nbytes)
    assert around[:nbytes] == sent
    assert around[nbytes:] == b"x" * 100
    assert len(ranges) == count
    assert sorted(ranges)[0] == (0, HEADER_BYTES + min(nbytes, PART_BYTES))
    assert sorted(ranges)[-1][1] == HEADER_BYTES + nbytes


def test_a_shorter_payload_than_the_buffer_is_asked_for_once(entries, ranges):
    assert entries.put(KEY, memoryview(b"short"), FACTS)
    assert entries.get_into(KEY, memoryview(bytearray(4 * PART_BYTES))).says(FACTS, 5)
    assert ranges == [(0, HEADER_BYTES + PART_BYTES)]


@pytest.fixture
def between(entries, monkeypatch):
    """Has something done after an object was found, and before the rest of it is asked for."""

    def arrange(action):
        begin = entries._reading.begin

        def then(*arguments):
            first = begin(*arguments)
            action()
            return first

        monkeypatch.setattr(entries._reading, "begin", then)

    return arrange


def test_an_object_that_is_replaced_meanwhile_is_a_miss_and_stays(entries, backing, between):
    sent = bytes(2 * PART_BYTES)
    entries.put(KEY, memoryview(sent), FACTS)
    other = os.urandom(len(sent))
    with closing(backing.entries(PATIENT)) as writer:
        between(lambda: writer.put(KEY, memoryview(other), FACTS))
        target = bytearray(len(sent))
        assert entries.get_into(KEY, memoryview(target)) is None
        assert writer.get_into(KEY, memoryview(target)) is not None
    assert target == other


def test_an_object_that_is_removed_meanwhile_is_a_miss(entries, backing, between):
    entries.put(KEY, memoryview(bytes(2 * PART_BYTES)), FACTS)
    between(lambda: backing.replace(KEY, None))
    assert entries.get_into(KEY, memoryview(bytearray(2 * PART_BYTES))) is None


def test_a_flip_in_any_range_is_a_miss(entries, backing):
    sent = os.urandom(3 * PART_BYTES)
    for part in range(3):
        entries.put(KEY, memoryview(sent), FACTS)
        whole = bytearray(backing.whole(KEY))
        whole[HEADER_BYTES + part * PART_BYTES + 5] ^= 1
        backing.replace(KEY, bytes(whole))
        assert entries.get_into(KEY, memoryview(bytearray(len(sent)))) is None
        assert backing.whole(KEY) is None


def test_a_range_that_fails_fails_the_call_and_keeps_the_entry(entries, monkeypatch):
    sent = os.urandom(3 * PART_BYTES)
    entries.put(KEY, memoryview(sent), FACTS)
    target = bytearray(len(sent))
    with monkeypatch.context() as patch:
        patch.setattr(Arriving, "pieces", failing_beyond_the_first(Arriving.pieces))
        with pytest.raises(StoreError, match="broken"):
            entries.get_into(KEY, memoryview(target))
    assert entries.get_into(KEY, memoryview(target)) is not None
    assert target == sent


def failing_beyond_the_first(pieces):
    calls = []

    async def some(arriving):
        calls.append(arriving)
        async for piece in pieces(arriving):
            yield piece
            if len(calls) > 1:
                raise StoreError("broken")

    return some


def test_nothing_arrives_after_a_call(entries, monkeypatch):
    sent = b"x" * (3 * PART_BYTES)
    entries.put(KEY, memoryview(sent), FACTS)
    target = bytearray(len(sent))
    with monkeypatch.context() as patch:
        patch.setattr(entries, "_timeout_s", 0.5)
        patch.setattr(Arriving, "pieces", ever_slower(Arriving.pieces))
        with pytest.raises(StoreError, match="in time"):
            entries.get_into(KEY, memoryview(target))
    arrived = bytes(target)
    assert 0 < arrived.count(b"x") < len(sent)
    target[:] = bytes(len(target))
    assert entries.get_into(OTHER_KEY, memoryview(bytearray(1))) is None  # time passes
    assert not any(target)


def ever_slower(pieces):
    async def some(arriving):
        pause_s = 0.01
        async for piece in pieces(arriving):
            yield piece
            await asyncio.sleep(pause_s)
            pause_s *= 10

    return some


def test_what_a_server_sends_beyond_the_range_is_refused(entries, monkeypatch):
    entries.put(KEY, memoryview(b"short"), FACTS)
    monkeypatch.setattr(bucket, "min", lambda end, _: end - 1, raising=False)
    with pytest.raises(StoreError, match="another number of bytes"):
        entries.get_into(KEY, memoryview(bytearray(5)))
