"""Measures how well fetches from Redis and copies to blocks overlap when a context is restored.

``python -m benchmarks.bench_pipeline [--json FILE] [--tokens N ...] [--rounds N]``: the worker's
executor, without vLLM, on paged memory as vLLM's CPU attention has it for SmolLM2-135M, and an
embedded Valkey. It measures alternately:

- ``fetch``: all chunks of a context from Valkey into host memory;
- ``copy``: the same chunks from host memory into blocks;
- ``restore``: both, as for a request; ``overlap`` is its time over that of the slower of the two.
"""

from __future__ import annotations

import argparse
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks.measure import append_rows, interleaved, print_table, ratio_row, seconds_row
from benchmarks.ttft_engines import BYTES_PER_TOKEN, CHUNK_TOKENS
from kvtransfer.chunks.keys import EntryKeys
from kvtransfer.chunks.paged import PagedCaches
from kvtransfer.config import TransferConfig
from kvtransfer.plan import Load, Plan, Report, Save
from kvtransfer.stores.embedded.server import EmbeddedServer
from kvtransfer.worker.executor import Executor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.measure import Row

LAYERS, HEADS, DIM, BLOCK_TOKENS = 30, 3, 64, 128
BLOCKS_PER_CHUNK = CHUNK_TOKENS // BLOCK_TOKENS
FOREVER_S = 60.0


class Restoring:
    """An executor, a context in the store behind it, and as many slots as it has chunks."""

    def __init__(self, executor: Executor, memory: torch.Tensor, chunks: int) -> None:
        self._executor = executor
        self._memory = memory
        self._chunks = chunks
        self._jobs = count()
        self._expected = memory[:, self._blocks(1)].clone()
        saves = [
            Save(next(self._jobs), f"{i:032x}", i, self._blocks_of(i, 1)) for i in range(chunks)
        ]
        self._run(Plan(saves=tuple(saves)), "stored")
        self._fill = [Load(0, f"{i:032x}", i, True, self._blocks_of(i, 0)) for i in range(chunks)]

    def fetch(self) -> None:
        """Into the slots."""
        self._load([load._replace(block_ids=()) for load in self._fill])

    def copy(self) -> None:
        """Copy all chunks from the slots into blocks."""
        self._load([load._replace(fetch=False) for load in self._fill])

    def restore(self) -> None:
        """Restore all chunks from the store into blocks."""
        self._load(self._fill)

    def check(self) -> None:
        """What was restored last is what was saved; then there is something else."""
        restored = self._memory[:, self._blocks(0)]
        if not torch.equal(restored, self._expected):
            raise SystemExit("bench_pipeline: what was restored is not what was saved")
        self._memory[:, self._blocks(0)] = 0

    def _blocks(self, half: int) -> slice:
        """Those of a context in the first or second half of the memory."""
        blocks = self._chunks * BLOCKS_PER_CHUNK
        return slice(half * blocks, (half + 1) * blocks)

    def _blocks_of(self, chunk: int, half: int) -> tuple[int, ...]:
        first = (half * self._chunks + chunk) * BLOCKS_PER_CHUNK
        return tuple(range(first, first + BLOCKS_PER_CHUNK))

    def _load(self, loads: Sequence[Load]) -> None:
        ours = tuple(load._replace(job=next(self._jobs)) for load in loads)
        failed = self._run(Plan(loads=ours), "loaded").failed
        if failed:
            raise SystemExit(f"bench_pipeline: {len(failed)} of {len(loads)} loads failed")

    def _run(self, plan: Plan, kind: str) -> Report:
        self._executor.run(plan)
        seen = Report()
        while len(getattr(seen, kind)) < len(plan.loads or plan.saves):
            self._executor.wait(FOREVER_S)
            seen.add(self._executor.report())
        return seen


def main() -> None:
    options = _options()
    rows = [row for tokens in options.tokens for row in measure(tokens, options.rounds)]
    print_table(rows, baseline="fetch")
    if options.json:
        append_rows(options.json, rows)


def measure(tokens: int, rounds: int) -> list[Row]:
    """Contexts of ``tokens``; each work in turn, ``rounds`` times."""
    with restoring(tokens // CHUNK_TOKENS) as it:
        works = {"fetch": it.fetch, "copy": it.copy, "restore": it.restore}
        samples = interleaved({**works, "check": it.check}, rounds)
    seconds = {name: [sample.wall_s for sample in samples[name]] for name in works}
    nbytes = tokens * BYTES_PER_TOKEN
    case = f"restore/{tokens}"
    row = partial(seconds_row, "pipeline", case, nbytes=nbytes)
    slower = map(max, seconds["fetch"], seconds["copy"])
    overlap = [took / least for took, least in zip(seconds["restore"], slower, strict=True)]
    return [
        *(row(name, took) for name, took in seconds.items()),
        ratio_row("pipeline", f"{case}/overlap", "restore", overlap),
    ]


@contextmanager
def restoring(chunks: int) -> Iterator[Restoring]:
    """On random bytes, in a store that has been given all of them."""
    size_bytes = chunks * CHUNK_TOKENS * BYTES_PER_TOKEN
    memory = torch.randn(LAYERS, 2 * chunks * BLOCKS_PER_CHUNK, HEADS, BLOCK_TOKENS, 2 * DIM)
    caches = PagedCaches.cpu_attention(list(memory), CHUNK_TOKENS)
    with EmbeddedServer(2 * size_bytes + (256 << 20)) as server:
        config = TransferConfig.of(
            remote_url=server.url, max_local_cpu_size=1.1 * size_bytes / 2**30
        )
        executor = Executor.open(
            config, [[caches]], caches.chunk, EntryKeys("SmolLM2-135M", 1), [0]
        )
        try:
            yield Restoring(executor, memory, chunks)
        finally:
            executor.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="append one line a measurement to this file")
    parser.add_argument("--tokens", type=int, nargs="+", default=[1024, 4096])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: at least 1")
    for tokens in options.tokens:
        if tokens < 1 or tokens % CHUNK_TOKENS:
            parser.error(f"--tokens {tokens}: whole chunks only, a multiple of {CHUNK_TOKENS}")
    return options


if __name__ == "__main__":
    main()
