"""Checks on the GPU, bit by bit, that every lane copies every layout and dtype as defined."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch

from benchmarks.bench_dma import CASES, Transfers
from kvtransfer.chunks.paged import PagedCaches
from kvtransfer.kernels import open_copy, reference
from kvtransfer.worker.copier import Copier
from tests.kernels.layouts import DTYPES, ORDERS, ordered, patterned, same

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.bench_paged_copy import Case

POISON = 0x5A
SIZES = {"L": 3, "B": 12, "H": 3, "N": 16}
DIMS = (128, 80, 20, 3)
CHUNK_TOKENS = 64


def failures(device: torch.device, cases: Sequence[Case] = CASES) -> Iterator[str]:
    """The layouts that went wrong, and the lanes on ``cases``, by name."""
    with device:
        for name, caches in _layouts():
            if not _copies_right(caches):
                yield name
    for case in cases:
        for lane in _wrong_lanes(case, device):
            yield f"{lane} on {case.name}"


def count() -> int:
    """Of the layouts that ``failures`` tries."""
    return len(ORDERS) * len(DTYPES) * len(DIMS) * 2 + 2 * len(DTYPES)


def _layouts() -> Iterator[tuple[str, PagedCaches]]:
    for order, dtype, dim, padding in itertools.product(ORDERS, DTYPES, DIMS, (0, 16)):
        layers = ordered(order, dtype, {**SIZES, "C": 2 * dim}, padding)
        name = f"{order} {dtype} of {dim}, padded by {padding}"
        yield name, PagedCaches.split([*layers, layers[0]], CHUNK_TOKENS)
    for dtype in DTYPES:
        latent = list(patterned(dtype, 3, 12, 1, 16, 576))
        yield f"MLA {dtype}", PagedCaches.content(latent, CHUNK_TOKENS)
        keys, values = (list(patterned(dtype, 3, 24, 8, 2, 64)) for _ in range(2))
        yield f"apart {dtype}", PagedCaches.keys_and_values(keys, values, CHUNK_TOKENS)


def _copies_right(caches: PagedCaches) -> bool:
    block_tokens = caches.planes[0].shape[1]
    first_token, blocks = block_tokens, [7, 2, 3][: CHUNK_TOKENS // block_tokens - 1]
    got, expected = (_poisoned(caches) for _ in range(2))
    copy = open_copy(caches.planes)
    copy.gather_blocks(blocks, got[1], first_token)
    reference.gather_blocks(caches.planes, blocks, expected[1], first_token)
    if not torch.equal(got[0], expected[0]):
        return False
    before = [plane.clone() for plane in caches.planes]
    for plane in caches.planes:
        plane[blocks] = 0
    copy.scatter_blocks(got[1], blocks, first_token)
    return all(map(same, caches.planes, before))


def _poisoned(caches: PagedCaches) -> tuple[torch.Tensor, torch.Tensor]:
    """Poison around and in a chunk: all of the memory, and the chunk."""
    memory = torch.full((caches.chunk.nbytes + 4096,), POISON, dtype=torch.uint8)
    flat = memory[2048 : 2048 + caches.chunk.nbytes].view(caches.planes[0].dtype)
    return memory, flat.view(caches.chunk.planes, *caches.chunk.plane_shape)


def _wrong_lanes(case: Case, device: torch.device) -> Iterator[str]:
    """Lanes by which chunks do not come back from host memory as they went."""
    it = Transfers(case, device, chunks=4)
    before = [plane.clone() for plane in it.caches.planes]
    lanes = it.lanes(open_copy(it.caches.planes))
    copiers = {f"the {name} lane": it.copier(lane) for name, lane in lanes.items()}
    copiers["what we would choose"] = Copier.open(
        [[it.caches]], it.caches.chunk, it.pool, it.device
    )
    for name, copier in copiers.items():
        for slot in range(len(it.blocks)):
            it.pool.sections(slot)[0].zero_()
        it.save(copier)
        for plane in it.caches.planes:
            plane[it.blocks[0] + it.blocks[3]] = 0
        it.load(copier)
        if not all(map(same, it.caches.planes, before)):
            yield name
