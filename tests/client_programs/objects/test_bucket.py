"""What no server does by itself: one that writes on no condition, and names that are no names."""

from __future__ import annotations

import asyncio

import pytest

from kvtransfer.client_programs.objects import bucket as bucket_module
from kvtransfer.client_programs.objects.bucket import PART_BYTES


def run(coroutine):
    return asyncio.run(coroutine)


def test_one_that_is_there_is_not_created(bucket):
    assert run(bucket.create("a/b", memoryview(b"first")))
    assert not run(bucket.create("a/b", memoryview(b"second")))
    assert run(bucket.head("a/b")).nbytes == len(b"first")


def test_a_long_object_is_written_in_parts(bucket, backing):
    run(bucket.create("a/b", memoryview(bytes(2 * PART_BYTES + 1))))
    name = f"{backing.prefix}/a/b"
    etag = backing.client.head_object(Bucket=backing.bucket, Key=name)["ETag"]
    assert etag.rstrip('"').endswith("-3")  # as S3 marks an object of three parts


def test_a_listing_leaves_out_names_that_no_service_has(bucket, monkeypatch):
    for name in ("a/short", "a/longer"):
        run(bucket.write(name, memoryview(b"x")))
    monkeypatch.setattr(bucket_module, "_NAME_CHARACTERS", len("a/short"))

    async def listed():
        return [found.path async for page in bucket.pages() for found in page]

    assert run(listed()) == ["a/short"]


@pytest.mark.parametrize("nbytes", [1, 2 * PART_BYTES + 1])
def test_what_is_written_comes_from_the_memory_that_is_given(bucket, nbytes):
    memory = bytearray(b"x" * (nbytes + 2))
    memory[1:-1] = b"y" * nbytes
    run(bucket.write("a/b", memoryview(memory)[1:-1]))

    async def content():
        arriving = await bucket.read("a/b", 0, nbytes + 9)
        return await arriving.content()

    assert run(content()) == b"y" * nbytes
