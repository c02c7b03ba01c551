"""Measures puts and gets of each store, beside what its own client does at best.

``python -m benchmarks.bench_stores [--json FILE] [--stores NAME ...] [--folder DIR] [--mib N ...]
[--round-mib N] [--rounds N]``: ``get/8MiB/redis`` gets values of 8 MiB from a Redis. ``kvtransfer``
is the store as an engine uses it, with records, checksums and verification, called by four threads;
``client`` moves the bytes alone, by four threads or one call for all. Both in turns, each with names
of its own. ``CPU s/GB`` is this process's, without a client process that a store may have. A store
is a row of ``benchmarks/store_rows.py``.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.measure import append_rows, measured, print_table, rate_row
from benchmarks.store_clients import CALLERS, EachCalled
from benchmarks.store_rows import ROWS
from kvtransfer.chunks.keys import base_key
from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.errors import ConfigError
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.disk.file.direct_io import aligned_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measure import Row, Sample
    from benchmarks.store_clients import Client

MIB = 2**20
SIZES_MIB = (8, 32)
ROUND_MIB = 64
"""Moved by each repetition, in as many values as that makes."""
PATIENT = StoreSettings(timeout_s=60.0, connections=CALLERS)
"""A store that stalls is a slow sample, not an error."""


class Values:
    """As many values as a repetition moves, and the memory that they come from and go to."""

    def __init__(self, nbytes: int, count: int) -> None:
        self.nbytes = nbytes * count
        self.memory = [aligned_memory(nbytes) for _ in range(count)]
        self._targets = [aligned_memory(nbytes) for _ in range(count)]
        self._numbers = itertools.count()
        for memory in self.memory:
            memory[:] = os.urandom(nbytes)

    def names(self) -> list[str]:
        """Return names that no store has seen."""
        return [base_key("bench", 1, 0, f"{next(self._numbers):032x}") for _ in self.memory]

    def put(self, client: Client, names: Sequence[str]) -> Sample:
        return measured(partial(client.put, names, self.memory))

    def get(self, client: Client, names: Sequence[str]) -> Sample:
        for target in self._targets:
            target[:] = bytes(len(target))
        sample = measured(partial(client.get, names, self._targets))
        if any(map(_differ, self._targets, self.memory)):
            raise AssertionError("read something else than was written")
        return sample


class Ours(EachCalled):
    """The store at ``url`` as a client of values of ``nbytes``."""

    def __init__(self, url: str, nbytes: int) -> None:
        form = ChunkFormat("opaque:bench", "uint8", (nbytes,), 1, nbytes)
        self._store = open_store(url, form, PATIENT)
        super().__init__(self._put_one, self._get_one, self._store.store.remove)

    def close(self) -> None:
        super().close()
        self._store.close()

    def _put_one(self, name: str, memory: memoryview) -> None:
        if not self._store.put(name, memory):
            raise LookupError(f"{name} was not taken")

    def _get_one(self, name: str, target: memoryview) -> None:
        if not self._store.get_into(name, target):
            raise LookupError(f"{name} is missing")


def apart(name: str, folder: Path | None, nbytes: int, rounds: int, round_bytes: int) -> list[Row]:
    """Measure in a process of its own: what malloc does depends on what was freed before."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(measure, name, folder, nbytes, rounds, round_bytes).result()


def measure(name: str, folder: Path | None, nbytes: int, rounds: int, round_bytes: int):
    """Measure both directions of one store and size; the first round doesn't count."""
    row, values = ROWS[name], Values(nbytes, round_bytes // nbytes or 1)
    with (
        row.served(folder) as url,
        closing(Ours(url, nbytes)) as kvtransfer,
        closing(row.client(url)) as client,
    ):
        clients = {"kvtransfer": kvtransfer, "client": client}
        taken: dict[tuple[str, str], list[Sample]] = {
            way: [] for way in itertools.product(("put", "get"), clients)
        }
        for round_ in range(rounds + 1):
            order = list(clients)[:: 1 if round_ % 2 else -1]
            names = {impl: values.names() for impl in order}
            for way, impl in itertools.product((values.put, values.get), order):
                sample = way(clients[impl], names[impl])
                taken[way.__name__, impl] += [sample] if round_ else []
            for impl in order:
                clients[impl].remove(names[impl])
    case = f"{nbytes // MIB}MiB/{name}"
    return [
        rate_row("stores", f"{way}/{case}", impl, samples, values.nbytes)
        for (way, impl), samples in taken.items()
    ]


def _differ(one: memoryview, other: memoryview) -> bool:
    return not np.array_equal(np.frombuffer(one, np.uint8), np.frombuffer(other, np.uint8))


def main() -> None:
    options = _options()
    rows: list[Row] = []
    for name, mib in itertools.product(options.stores, options.mib):
        sizes = mib * MIB, options.rounds, options.round_mib * MIB
        try:
            rows += apart(name, options.folder, *sizes)
        except ConfigError as error:
            sys.exit(f"bench_stores: {error}")
    print_table(rows, baseline="client")
    if options.json:
        append_rows(options.json, rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="append one line a measurement to this file")
    parser.add_argument("--stores", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--folder", type=Path, help="where stores keep files; else the temporary's")
    parser.add_argument("--mib", nargs="+", type=int, default=list(SIZES_MIB))
    parser.add_argument("--round-mib", type=int, default=ROUND_MIB, help="moved in each round")
    parser.add_argument("--rounds", type=int, default=11)
    return parser.parse_args()


if __name__ == "__main__":
    main()
