"""An object arrives in ranges at once, all of one object."""

from __future__ import annotations

import asyncio
import os

import pytest

from kvtransfer.client_programs.objects import bucket as bucket_module
from kvtransfer.client_programs.objects.bucket import PART_BYTES, Arriving
from kvtransfer.client_programs.objects.causes import BucketError
from kvtransfer.client_programs.objects.reading import read_into

NAME = "owner/00/name.kv"
FIRST_BYTES = PART_BYTES + 100


@pytest.fixture
def write(backing):
    def written(content):
        name = f"{backing.prefix}/{NAME}"
        if content is None:
            return backing.client.delete_object(Bucket=backing.bucket, Key=name)
        return backing.client.put_object(Bucket=backing.bucket, Key=name, Body=content)

    return written


@pytest.fixture
def read(bucket):
    def into(room):
        return asyncio.run(read_into(bucket, NAME, memoryview(room), FIRST_BYTES))

    return into


@pytest.fixture
def ranges(bucket, monkeypatch):
    """Which ranges of objects were asked for."""
    asked, read = [], bucket.read

    async def noting(path, begin, end, etag=None):
        asked.append((begin, end))
        return await read(path, begin, end, etag)

    monkeypatch.setattr(bucket, "read", noting)
    return asked


@pytest.mark.parametrize(
    ("nbytes", "count"),
    [(FIRST_BYTES - 1, 1), (FIRST_BYTES, 1), (FIRST_BYTES + 1, 2),
     (FIRST_BYTES + PART_BYTES, 2), (FIRST_BYTES + 3 * PART_BYTES, 4)],
)  # fmt: skip
def test_long_objects_come_in_ranges(write, read, ranges, nbytes, count):
    sent = os.urandom(nbytes)
    write(sent)
    room = bytearray(b"x" * (nbytes + 100))
    assert read(room).nbytes == nbytes
    assert room == sent + b"x" * 100
    assert len(ranges) == count
    assert sorted(ranges)[0] == (0, FIRST_BYTES)


def test_of_an_object_that_does_not_fit_nothing_else_is_asked_for(write, read, ranges):
    write(bytes(3 * PART_BYTES))
    room = bytearray(b"x" * 100)
    assert read(room).nbytes == 3 * PART_BYTES
    assert room == b"x" * 100
    assert ranges == [(0, 100)]


def test_what_is_not_there_or_empty_is_none(write, read):
    assert read(bytearray(100)) is None
    write(b"")
    assert read(bytearray(100)) is None


@pytest.fixture
def between(bucket, monkeypatch):
    """Has something done after an object was found, and before the rest of it is asked for."""

    def arrange(action):
        read = bucket.read

        async def then(path, begin, end, etag=None):
            arriving = await read(path, begin, end, etag)
            if begin == 0:
                action()
            return arriving

        monkeypatch.setattr(bucket, "read", then)

    return arrange


def test_an_object_that_is_replaced_meanwhile_is_none(write, read, between):
    write(bytes(3 * PART_BYTES))
    between(lambda: write(os.urandom(3 * PART_BYTES)))
    assert read(bytearray(3 * PART_BYTES)) is None


def test_an_object_that_is_removed_meanwhile_is_none(write, read, between):
    write(bytes(3 * PART_BYTES))
    between(lambda: write(None))
    assert read(bytearray(3 * PART_BYTES)) is None


def test_a_range_that_fails_fails_the_call(write, read, monkeypatch):
    sent = os.urandom(3 * PART_BYTES)
    write(sent)
    room = bytearray(len(sent))
    with monkeypatch.context() as patch:
        patch.setattr(Arriving, "pieces", failing_beyond_the_first(Arriving.pieces))
        with pytest.raises(BucketError, match="broken"):
            read(room)
    assert read(room).nbytes == len(sent)
    assert room == sent


def failing_beyond_the_first(pieces):
    calls = []

    async def some(arriving):
        calls.append(arriving)
        async for piece in pieces(arriving):
            yield piece
            if len(calls) > 1:
                raise BucketError("broken")

    return some


def test_what_a_server_sends_beyond_the_range_is_refused(write, read, monkeypatch):
    write(b"short")
    monkeypatch.setattr(bucket_module, "min", lambda end, _: end - 96, raising=False)
    with pytest.raises(BucketError, match="another number of bytes"):
        read(bytearray(100))
