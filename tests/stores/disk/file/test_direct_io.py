"""Chunks of aligned memory go around the page cache; all others come out the same."""

from __future__ import annotations

import errno
import fcntl
import os
import random
from contextlib import closing, suppress

import pytest

from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.disk.file.direct_io import SECTOR_BYTES, aligned_memory
from kvtransfer.stores.disk.store import DiskStore
from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.testing import KEY
from tests.stores.disk.disk_backing import DiskBacking

MIB = 2**20
SIZES = [1, SECTOR_BYTES - 1, SECTOR_BYTES, 3 * SECTOR_BYTES + 5, 4 * MIB, 9 * MIB, 9 * MIB + 17]


def chunk_of(nbytes):
    return ChunkFormat("split", "uint8", (1, 1, 1, 1, nbytes), tokens=1, nbytes=nbytes)


def slot(nbytes, offset=0):
    return aligned_memory(nbytes + offset)[offset:]


def filled(nbytes, offset=0):
    memory = slot(nbytes, offset)
    memory[:] = random.Random(nbytes).randbytes(nbytes)
    return memory


@pytest.fixture
def modes(monkeypatch):
    """Whether direct I/O was asked for, call by call."""
    asked, really = [], fcntl.fcntl

    def noted(fd, command, flags):
        asked.append(bool(flags & os.O_DIRECT))
        with suppress(OSError):  # a folder of tests may be in memory
            really(fd, command, flags)

    monkeypatch.setattr(fcntl, "fcntl", noted)
    return asked


@pytest.mark.parametrize("nbytes", SIZES)
def test_what_is_put_from_a_slot_comes_back_into_one(tmp_path, modes, nbytes):
    payload, target = filled(nbytes), slot(nbytes)
    with closing(
        FormattedStore(DiskStore(str(tmp_path), StoreSettings()), chunk_of(nbytes))
    ) as store:
        assert store.put(KEY, payload)
        assert store.get_into(KEY, target)
    assert target == payload
    assert all(modes)


def test_memory_that_is_not_aligned_is_as_good(tmp_path, modes):
    nbytes = 9 * MIB + 17
    payload, target = filled(nbytes, offset=3), slot(nbytes, offset=5)
    with closing(
        FormattedStore(DiskStore(str(tmp_path), StoreSettings()), chunk_of(nbytes))
    ) as store:
        assert store.put(KEY, payload)
        assert store.get_into(KEY, target)
    assert target == payload
    assert not all(modes)


@pytest.mark.parametrize("at_bytes", [0, 5 * MIB, 9 * MIB - 1, 9 * MIB + 16])
def test_a_flip_in_any_piece_of_a_long_chunk_is_a_miss(tmp_path, at_bytes):
    nbytes, backing = 9 * MIB + 17, DiskBacking(tmp_path)
    with closing(backing.open(chunk_of(nbytes), StoreSettings())) as store:
        assert store.put(KEY, filled(nbytes))
        with backing.path(KEY).open("r+b") as file:
            file.seek(at_bytes)
            (byte,) = file.read(1)
            file.seek(at_bytes)
            file.write(bytes([byte ^ 1]))
        assert not store.get_into(KEY, slot(nbytes))
        assert not backing.path(KEY).exists()


def test_a_file_system_without_direct_io_is_asked_once(tmp_path, monkeypatch):
    refused, really = [], fcntl.fcntl

    def no_direct(fd, command, flags):
        if flags & os.O_DIRECT:
            refused.append(fd)
            raise OSError(errno.EINVAL, "Invalid argument")
        return really(fd, command, flags)

    monkeypatch.setattr(fcntl, "fcntl", no_direct)
    assert_kept(tmp_path)
    assert len(refused) == 1


def test_a_device_with_larger_blocks_gets_the_page_cache(tmp_path, monkeypatch):
    really = os.pwritev

    def picky(fd, parts, at_bytes):
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return really(fd, parts, at_bytes)

    monkeypatch.setattr(os, "pwritev", picky)
    assert_kept(tmp_path)


def assert_kept(folder):
    payload, target = filled(3 * SECTOR_BYTES), slot(3 * SECTOR_BYTES)
    with closing(
        FormattedStore(DiskStore(str(folder), StoreSettings()), chunk_of(len(payload)))
    ) as store:
        assert store.put(KEY, payload)
        assert store.get_into(KEY, target)
    assert target == payload
