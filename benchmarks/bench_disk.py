"""Measures puts and gets of the disk store, beside plain direct I/O, and the listing of a full folder.

``python -m benchmarks.bench_disk [--folder DIR] [--json FILE] [--rounds N] [--mib N ...]
[--round-mib N] [--files N]``: ``get/8MiB/4`` has four callers at once, as an executor has.
``direct`` makes one call a file, with aligned memory.
"""

from __future__ import annotations

import argparse
import errno
import itertools
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.measure import append_rows, measured, print_table, rate_row, seconds_row
from kvtransfer.chunks.keys import base_key
from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.disk.file.direct_io import aligned_memory
from kvtransfer.stores.disk.names import path_of
from kvtransfer.stores.disk.store import DiskStore
from kvtransfer.stores.formatted import FormattedStore

if TYPE_CHECKING:
    from benchmarks.measure import Row

MIB = 2**20
SIZES_MIB = (1, 8, 32)
ROUND_MIB = 128
"""Written and read by each repetition, in as many chunks as that makes."""
CALLERS = (1, 4)
FILES = 10_000
"""In the folder that is listed."""
DIRECT = os.O_DIRECT
PATIENT = StoreSettings(timeout_s=60.0)
"""A disk that stalls is a slow sample, not an error."""


class NoDirectIOError(Exception):
    """The file system has none; the message says which folder and what helps."""


class Chunks:
    """One round's chunks, and both ways to write and to read them."""

    def __init__(self, folder: Path, nbytes: int, callers: int, count: int) -> None:
        self.nbytes = nbytes
        self.count = count
        self._chunk = ChunkFormat("split", "uint8", (1, 2, 256, 1, nbytes // 512), 256, nbytes)
        self._root = folder / "chunks"
        self._plain = folder / "plain"
        self._plain.mkdir()
        self.store = FormattedStore(
            DiskStore(str(self._root), replace(PATIENT, connections=callers)), self._chunk
        )
        self._pool = ThreadPoolExecutor(callers)
        self._memory = [aligned_memory(nbytes) for _ in range(self.count)]
        random = np.random.default_rng(0)
        for memory in self._memory:
            memory[:] = random.bytes(nbytes)
        self._slots = [aligned_memory(nbytes) for _ in range(self.count)]
        for slot in self._slots:
            slot[:] = bytes(nbytes)  # pages that are there, as an arena's
        self._hashes = itertools.count()
        self._keys: list[str] = []

    def clear(self) -> None:
        """No entries, no plain files; the keys to come are new."""
        self._each(self._remove, range(self.count))
        self._keys = [base_key("m", 1, 0, f"{next(self._hashes):032x}") for _ in self._memory]

    def put(self) -> None:
        assert all(self._each(self.store.put, self._keys, self._memory))

    def get(self) -> None:
        assert all(self._each(self.store.get_into, self._keys, self._slots))

    def write_plain(self) -> None:
        self._each(self._write_plain, range(self.count))

    def read_plain(self) -> None:
        """Read the store's own files."""
        self._each(self._read_plain, [self._root / path_of(k) for k in self._keys], self._slots)

    def close(self) -> None:
        self.store.close()
        self._pool.shutdown()

    def _each(self, work, *arguments):
        return list(self._pool.map(work, *arguments))

    def _remove(self, i):
        (self._plain / str(i)).unlink(missing_ok=True)
        if self._keys:
            (self._root / path_of(self._keys[i])).unlink(missing_ok=True)

    def _write_plain(self, i):
        flags = os.O_CREAT | os.O_WRONLY | DIRECT
        _in_one_call(os.pwritev, self._plain / str(i), flags, self._memory[i])

    def _read_plain(self, path, slot):
        _in_one_call(os.preadv, path, os.O_RDONLY | DIRECT, slot)


def _in_one_call(call, path, flags, memory):
    try:
        fd = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise NoDirectIOError(
            f"{path.parent} takes no direct I/O, the baseline; --folder names a folder on a disk"
        ) from None
    try:
        assert call(fd, [memory], 0) == len(memory)
    finally:
        os.close(fd)


def measure(folder: Path, nbytes: int, callers: int, rounds: int, round_bytes: int) -> list[Row]:
    """Both directions of one size; one round before that doesn't count."""
    with closing(Chunks(folder, nbytes, callers, round_bytes // nbytes or 1)) as chunks:
        writes = {"kvtransfer": chunks.put, "direct": chunks.write_plain}
        reads = {"kvtransfer": chunks.get, "direct": chunks.read_plain}
        samples = {(way, impl): [] for way in ("put", "get") for impl in writes}
        for round_ in range(rounds + 1):
            chunks.clear()
            for way, works in (("put", writes), ("get", reads)):
                order = list(works)[:: 1 if round_ % 2 else -1]
                for impl in order:
                    sample = measured(works[impl])
                    samples[way, impl] += [sample] if round_ else []
        chunks.clear()
    case = f"{nbytes // MIB}MiB/{callers}"
    moved = chunks.count * nbytes
    return [
        rate_row("disk", f"{way}/{case}", impl, each, moved)
        for (way, impl), each in samples.items()
    ]


def measure_index(folder: Path, rounds: int, files: int) -> Row:
    """Time the listing of a full folder into an empty index: names and sizes, no contents."""
    chunk = ChunkFormat("split", "uint8", (1, 2, 256, 1, 2), 256, 1024)
    with closing(FormattedStore(DiskStore(str(folder), PATIENT), chunk)) as store:
        for i in range(files):
            assert store.put(base_key("m", 1, 0, f"{i * 2**113:032x}"), memoryview(bytes(1024)))
    seconds = []
    for _ in range(rounds):
        with closing(FormattedStore(DiskStore(str(folder), PATIENT), chunk)) as store:
            seconds.append(measured(store.store.eviction.rescan).wall_s)
            assert len(store.store.eviction) == files
    return seconds_row("disk", f"index/{files}", "kvtransfer", seconds)


def main() -> None:
    options = _options()
    rows = []
    try:
        for callers, mib in itertools.product(CALLERS, options.mib):
            with _folder(options.folder) as folder:
                rows += measure(
                    Path(folder), mib * MIB, callers, options.rounds, options.round_mib * MIB
                )
        with _folder(options.folder) as folder:
            rows.append(measure_index(Path(folder), options.rounds, options.files))
    except NoDirectIOError as error:
        sys.exit(f"bench_disk: {error}")
    print_table(rows, baseline="direct")
    if options.json:
        append_rows(options.json, rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--folder", type=Path, help="on the disk to measure; else the temporary folder's"
    )
    parser.add_argument("--json", type=Path, help="append one line a measurement to this file")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--mib", nargs="+", type=int, default=list(SIZES_MIB))
    parser.add_argument(
        "--round-mib", type=int, default=ROUND_MIB, help="written and read in each round"
    )
    parser.add_argument("--files", type=int, default=FILES, help="in the folder that is listed")
    return parser.parse_args()


def _folder(parent: Path | None) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="kvtransfer-bench-", dir=parent)


if __name__ == "__main__":
    main()
