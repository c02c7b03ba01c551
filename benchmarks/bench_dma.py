"""Measures every lane between paged blocks and host memory, beside one large plain copy.

``python -m benchmarks.bench_dma [--device cuda] [--json FILE] [--rounds N] [--layers N]``. The
ceiling is the same number of bytes in one ``copy_`` from contiguous device memory into the same
host memory.
"""

from __future__ import annotations

import argparse
import random
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks.bench_paged_copy import BLOCKS, CHUNK_TOKENS, LAYERS, Case
from benchmarks.device import usable_device
from benchmarks.measure import append_rows, interleaved, print_table, rate_row
from kvtransfer.device import open_device
from kvtransfer.device.work import Copy
from kvtransfer.kernels import open_copy
from kvtransfer.worker.copier import Copier
from kvtransfer.worker.copy_path import Calibration, CopyPath
from kvtransfer.worker.group_paths import GroupPaths, SectionPaths
from kvtransfer.worker.host_pool import HostPool
from kvtransfer.worker.lanes import DirectLane, PagesLane, StagedLane, Stages, Streams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.measure import Row
    from kvtransfer.device import Event, Stream
    from kvtransfer.kernels import BlockCopy
    from kvtransfer.worker.lanes import Lane

CASES = [
    Case("LBNHC", 16, 8, 128, torch.bfloat16),
    Case("LBNHC", 16, 1, 128, torch.bfloat16),
    Case("LBNHD", 128, 8, 128, torch.bfloat16),
    Case("MLA", 64, 1, 576, torch.bfloat16),
]
CEILING = "big copy"


class Transfers:
    """Some chunks in blocks and in slots, and every way to move them all."""

    def __init__(self, case: Case, device: torch.device, chunks: int, layers: int = LAYERS) -> None:
        self.device = open_device(device)
        count = CHUNK_TOKENS // case.block_tokens
        self.caches = case.caches(device, max(BLOCKS, count * chunks), layers)
        self.nbytes = self.caches.chunk.nbytes * chunks
        self.pool = HostPool(self.device, self.caches.chunk, chunks)
        ids = random.Random(0).sample(range(self.caches.planes[0].shape[0]), count * chunks)
        self.blocks = [ids[i * count : (i + 1) * count] for i in range(chunks)]
        self._streams = Streams.open(self.device)
        self._whole = [self.device.memory(self.caches.chunk.nbytes) for _ in range(chunks)]

    def copier(self, lane: Lane) -> Copier:
        """Everything by ``lane``."""
        lanes = dict.fromkeys(CopyPath, lane)
        return Copier(
            [GroupPaths([SectionPaths(self.caches, lanes, Calibration())])],
            self.pool,
            self._streams,
        )

    def lanes(self, copy: BlockCopy) -> dict[str, Lane]:
        """Those that can read these caches, by name."""
        lanes: dict[str, Lane] = {"direct": DirectLane(copy, self._streams)}
        if not self.device.is_host:
            slow = open_copy(self.caches.planes, programs=1)
            lanes["trickle"] = DirectLane(slow, self._streams)
            lanes["staged"] = StagedLane(
                copy, self._streams, self.device, Stages(self.device, self.caches.chunk)
            )
        if self.caches.page_bytes:
            lanes["pages"] = PagesLane(self.caches.planes, self._streams, self.device)
        return lanes

    def begin_save(self, copier: Copier) -> list[Event]:
        """Begin to copy all chunks to host memory."""
        after = [self.device.compute_event()]
        return [copier.to_host(blocks, slot, after) for slot, blocks in enumerate(self.blocks)]

    def begin_load(self, copier: Copier) -> list[Event]:
        """Begin to copy all chunks into their blocks."""
        after = [self.device.compute_event()]
        return [
            copier.to_device(slot, blocks, 0, [], after) for slot, blocks in enumerate(self.blocks)
        ]

    def begin_save_whole(self) -> list[Event]:
        """Begin the ceiling: one ``copy_`` to host memory."""
        return self._copy_whole(self._streams.to_host, [(slot, mem) for mem, slot in self._pairs()])

    def begin_load_whole(self) -> list[Event]:
        """Begin the ceiling: one ``copy_`` to the device."""
        return self._copy_whole(self._streams.to_device, self._pairs())

    def begin_save_by_block(self) -> list[Event]:
        """Begin a ``copy_`` for each block and plane."""
        for part, block in self._parts():
            part.copy_(block, non_blocking=True)
        return [self.device.compute_event()]

    def begin_load_by_block(self) -> list[Event]:
        """Begin a ``copy_`` for each block and plane."""
        for part, block in self._parts():
            block.copy_(part, non_blocking=True)
        return [self.device.compute_event()]

    def save(self, copier: Copier) -> None:
        """Save all chunks and wait for the end."""
        finish(self.begin_save(copier))

    def load(self, copier: Copier) -> None:
        """Load all chunks and wait for the end."""
        finish(self.begin_load(copier))

    def save_whole(self) -> None:
        """Copy the ceiling to host memory and wait for the end."""
        finish(self.begin_save_whole())

    def load_whole(self) -> None:
        """Copy the ceiling to the device and wait for the end."""
        finish(self.begin_load_whole())

    def _parts(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for slot, blocks in enumerate(self.blocks):
            for rows, plane in zip(self.pool.sections(slot)[0], self.caches.planes, strict=True):
                for part, block in zip(rows.chunk(len(blocks)), blocks, strict=True):
                    yield part, plane[block]

    def _pairs(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return [
            (memory, self.pool.sections(slot)[0].view(torch.uint8).view(-1))
            for slot, memory in enumerate(self._whole)
        ]

    def _copy_whole(
        self, stream: Stream, pairs: list[tuple[torch.Tensor, torch.Tensor]]
    ) -> list[Event]:
        return [stream.launch(Copy(self.device, [pair])) for pair in pairs]


def finish(events: list[Event]) -> None:
    """Wait for all, raise the first error."""
    for event in events:
        event.wait()
        if event.error is not None:
            raise event.error


def measure(
    case: Case, device: torch.device, chunks: int, rounds: int, layers: int = LAYERS
) -> list[Row]:
    """Both directions of one case: each lane, a loop over blocks, the ceiling."""
    it = Transfers(case, device, chunks, layers)
    lanes = it.lanes(open_copy(it.caches.planes))
    copiers = {name: it.copier(lane) for name, lane in lanes.items()}
    saves = {name: partial(it.begin_save, copier) for name, copier in copiers.items()}
    loads = {name: partial(it.begin_load, copier) for name, copier in copiers.items()}
    works = {
        "save": saves | {"copy a block": it.begin_save_by_block, CEILING: it.begin_save_whole},
        "load": loads | {"copy a block": it.begin_load_by_block, CEILING: it.begin_load_whole},
    }
    return [
        rate_row("dma", f"{direction}/{case.name}", impl, samples, it.nbytes)
        for direction, impls in works.items()
        for impl, samples in interleaved(to_the_end(impls), rounds).items()
    ]


def to_the_end(begins: dict[str, Callable[[], list[Event]]]) -> dict[str, Callable[[], None]]:
    """Pair each work with a wait for its end."""
    return {name: lambda begin=begin: finish(begin()) for name, begin in begins.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", type=usable_device, default="cpu")
    parser.add_argument("--json", type=Path, help="append one line a measurement to this file")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--layers", type=int, default=LAYERS, help="of the made-up model")
    options = parser.parse_args()
    torch.set_num_threads(1)
    chunks = 2 if options.device.type == "cpu" else 8
    rows = [
        row
        for case in CASES
        for row in measure(case, options.device, chunks, options.rounds, options.layers)
    ]
    print_table(rows, baseline=CEILING)
    if options.json:
        append_rows(options.json, rows)


if __name__ == "__main__":
    main()
