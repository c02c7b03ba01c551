"""Which ways of a model with positions are found, and what is taken for rounding."""

from __future__ import annotations

import pytest
import torch
import torch.distributed
import torch.multiprocessing

from kvtransfer.chunks.paged import PagedCaches
from kvtransfer.connector.vllm.blend.rotation_check import RotationErrors, rotation_errors
from kvtransfer.errors import ConfigError
from kvtransfer.kernels import Rotation
from kvtransfer.kernels.reference import plane_shape
from kvtransfer.kernels.rotation_reference import rotated
from kvtransfer.kernels.token_move import TokenMove

LAYERS, HEADS, DIM, BLOCK_TOKENS, BLOCKS, VOCABULARY = 3, 2, 16, 16, 8, 97
WRITTEN = (5, 2)


def rotation(size=DIM, start=0, positions=1024):
    angles = torch.arange(positions)[:, None] * 10000.0 ** (-torch.arange(size // 2) / size)
    return Rotation(torch.cat([angles.cos(), angles.sin()], dim=1), "neox", start)


def split(dtype=torch.float32, heads=HEADS):
    shape = (BLOCKS, heads, BLOCK_TOKENS, 2 * DIM)
    return PagedCaches.split([torch.zeros(shape, dtype=dtype) for _ in range(LAYERS)], BLOCK_TOKENS)


def content():
    shape = (BLOCKS, 1, BLOCK_TOKENS, 2 * DIM)
    return PagedCaches.content([torch.zeros(shape) for _ in range(LAYERS)], BLOCK_TOKENS)


class Model:
    """A forward that writes keys which its rotation moves, but for a ``fault``."""

    def __init__(self, caches, moves_by, fault=None):
        self.caches, self.moves_by, self.fault = caches, moves_by, fault
        self.jobs = []

    def run(self, jobs, first_position=0):
        (job,) = jobs
        self.jobs.append((first_position, job))
        for number, each in enumerate(self.caches):
            made = torch.randn(
                (len(each.planes), len(job.token_ids), *plane_shape(each.planes[0])[2:]),
                generator=torch.Generator().manual_seed(number),
            )
            keys = made[:: 2 if each.chunk.layout == "split" else 1]
            if first_position:
                move = TokenMove(0, len(job.token_ids), (), 0, 0, first_position)
                keys.copy_(rotated(keys, move, self.moves_by))
                if self.fault:
                    self.fault(made)
            for token in range(len(job.token_ids)):
                block, inside = divmod(token, BLOCK_TOKENS)
                for plane, rows in zip(each.planes, made, strict=True):
                    plane[job.block_ids[block], inside] = rows[token].to(plane.dtype)


def check(caches, moves_by, fault=None, block_ids=WRITTEN):
    model = Model(caches, moves_by, fault)
    rotation_errors(model, caches, moves_by, block_ids, VOCABULARY).refuse_wrong()
    return model


@pytest.mark.parametrize(
    ("caches", "moves_by"),
    [
        (split(), rotation()),
        (split(), rotation(size=8)),
        (split(torch.bfloat16), rotation()),
        (split(torch.float16), rotation()),
        (content(), rotation(start=DIM)),
    ],
)
def test_keys_that_move_by_the_rotation_pass(caches, moves_by):
    here, there = check([caches], moves_by).jobs
    assert (here[0], there[0]) == (0, 777)
    assert here[1] == there[1]
    assert here[1].block_ids == WRITTEN
    assert here[1].gaps == ((0, 24),)
    assert len(set(here[1].token_ids)) == 24
    assert all(0 <= token < VOCABULARY for token in here[1].token_ids)


def test_a_short_table_and_a_single_block_are_enough():
    here, there = check([split()], rotation(positions=50), block_ids=(3,)).jobs
    assert (there[0], here[1].gaps) == (34, ((0, 16),))


def test_only_the_named_blocks_are_written():
    caches = split()
    check([caches], rotation(), block_ids=(*WRITTEN, 7))
    written = {block for plane in caches.planes for block in plane.flatten(1).any(1).nonzero()}
    assert {int(block) for block in written} == set(WRITTEN)


def still_layer(made):
    made[2] = torch.randn(made[2].shape, generator=torch.Generator().manual_seed(9))


def position_in_values(made):
    made[5] += 1


def position_beside_the_rotation(made):
    made[0, ..., 12] += 5


def one_expert_another(made):
    made[:, 3] += 5


def not_a_number(made):
    made[4] = torch.nan


@pytest.mark.parametrize(
    ("fault", "moves_by", "message"),
    [
        (still_layer, rotation(), "off for this model: keys of attention layer 1 .of 3, from 0 on"),
        (position_in_values, rotation(), "values of attention layer 2 .* 777 positions later"),
        (position_beside_the_rotation, rotation(size=8), "keys that aren't rotated of attention layer 0"),
        (not_a_number, rotation(), "keys of attention layer 2 .* off by inf of their size"),
    ],
)  # fmt: skip
def test_what_else_depends_on_the_position_is_named(fault, moves_by, message):
    with pytest.raises(ConfigError, match=message):
        check([split()], moves_by, fault)


def test_a_token_that_other_experts_compute_is_no_reason():
    check([split()], rotation(), one_expert_another)


def test_each_of_several_caches_counts():
    def second_only(made):
        if made.shape[2] == 1:
            still_layer(made)

    caches = [split(), split(heads=1)]
    check(caches, rotation())
    with pytest.raises(ConfigError, match="keys of attention layer 1"):
        check(caches, rotation(), second_only)


def _find(rank, store, found):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=2
    )
    own = torch.zeros(3, LAYERS, dtype=torch.float64)
    own[rank, rank] = torch.inf if rank else 0.5
    errors = RotationErrors(own, 777, torch.float32)
    found[rank] = errors.of_all_ranks(torch.distributed.group.WORLD).errors.tolist()
    torch.distributed.destroy_process_group()


def test_all_ranks_go_by_the_worst_that_one_has_found(tmp_path):
    with torch.multiprocessing.Manager() as manager:
        found = manager.dict()
        torch.multiprocessing.spawn(_find, (tmp_path / "store", found), nprocs=2)
        worst = torch.zeros(3, LAYERS)
        worst[0, 0], worst[1, 1] = 0.5, torch.inf
        assert [found[rank] for rank in range(2)] == [worst.tolist()] * 2
