"""Checks on the model itself that its keys depend on their position by nothing but a rotation.

The same tokens are computed at two positions, and see only themselves each time. Then the keys of
every layer must differ by the rotation, and all else not at all. This shows learned positions,
layers that don't rotate, pairs of other elements, and whatever else a model does with positions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed

from kvtransfer.errors import ConfigError
from kvtransfer.kernels.reference import gather_blocks
from kvtransfer.kernels.rotation_reference import rotated
from kvtransfer.kernels.token_move import TokenMove
from kvtransfer.plan import GapJob

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from kvtransfer.chunks.paged import PagedCaches
    from kvtransfer.connector.vllm.blend.gap_forward import GapForward
    from kvtransfer.kernels import Rotation

_TOKENS = 24
_DISTANCE = 777
_STRIDE = 7919
"""A prime, so that the tokens are spread over the vocabulary."""
_COMPARED = ("keys", "elements of keys that aren't rotated", "values")

# Rounding adds up from layer to layer, to some percent in bfloat16. A wrong rotation is off by about
# the size of the keys in every layer, as the tests of wrong ones show.
_TOLERANCE = {torch.float32: 1e-2, torch.float16: 0.1, torch.bfloat16: 0.2}


@dataclass(frozen=True)
class RotationErrors:
    """Says how far the second computation is from what the first one and the rotation foresee."""

    errors: Tensor
    """``[3, layers]`` of float64 in host memory: of rotated elements, other elements of keys, and
    values. Each is relative to the length of the vector, of the token in the middle: a mixture of
    experts may send a few tokens elsewhere for a difference in rounding."""
    distance: int
    """How many positions apart the two computations were."""
    dtype: torch.dtype
    """The dtype of the cache."""

    def of_all_ranks(self, group: Any) -> RotationErrors:
        """Return the largest errors that any process of ``group`` has found, the same in each.

        One rank must not refuse what another one goes on to compute: it would wait forever. The call
        waits for all of them.
        """
        worst = self.errors.clone()
        torch.distributed.all_reduce(worst, torch.distributed.ReduceOp.MAX, group)
        return replace(self, errors=worst)

    def refuse_wrong(self) -> None:
        """Refuse a model whose keys don't move by the rotation.

        Raises:
            ConfigError: the message names the layer that is off most, and by how much.
        """
        worst = float(self.errors.max())
        if worst <= _TOLERANCE[self.dtype]:
            return
        kind, layer = divmod(int(self.errors.argmax()), self.errors.shape[1])
        raise ConfigError(
            f"blending is off for this model: {_COMPARED[kind]} of attention layer {layer} (of "
            f"{self.errors.shape[1]}, from 0 on), computed {self.distance} positions later, are off "
            f"by {worst:.2g} of their size from what the model's rotary embedding foresees; "
            f"{_TOLERANCE[self.dtype]:g} may be rounding"
        )


def rotation_errors(
    forward: GapForward,
    caches: Sequence[PagedCaches],
    rotation: Rotation,
    block_ids: Sequence[int],
    vocabulary: int,
) -> RotationErrors:
    """Compute the same tokens at two positions, and compare what the cache holds.

    Args:
        forward: computes them.
        caches: the model's; several if each has some of the heads.
        rotation: by which keys should move.
        block_ids: the manager's blocks that are written; they must hold nothing, and hold nothing
            of use afterwards. One is enough.
        vocabulary: how many tokens the model knows.

    Returns:
        What was found on this rank; the computation is over.
    """
    tokens = min(_TOKENS, len(block_ids) * caches[0].block_tokens)
    block_ids = tuple(block_ids[: -(-tokens // caches[0].block_tokens)])
    distance = min(_DISTANCE, rotation.positions - tokens)
    ids = tuple(i * _STRIDE % vocabulary for i in range(1, tokens + 1))
    job = GapJob(0, block_ids, ((0, tokens),), ids)
    held = []
    for first_position in (0, distance):
        forward.run([job], first_position)
        held.append([_held(each, block_ids, tokens) for each in caches])
    errors = [
        _compared(here, there, rotation, distance, 2 if each.chunk.layout == "split" else 1)
        for each, here, there in zip(caches, *held, strict=True)
    ]
    worst = torch.stack(errors).nan_to_num(nan=torch.inf).amax(0)
    return RotationErrors(worst, distance, caches[0].planes[0].dtype)


def _held(caches: PagedCaches, block_ids: Sequence[int], tokens: int) -> Tensor:
    """Return the first tokens of blocks, ``[planes, tokens, heads, dim]``."""
    _, heads, dim = caches.chunk.plane_shape
    shape = (len(caches.planes), len(block_ids) * caches.block_tokens, heads, dim)
    chunk = torch.empty(shape, dtype=caches.planes[0].dtype, device=caches.planes[0].device)
    gather_blocks(caches.planes, caches.kernel_blocks(block_ids), chunk)
    return chunk[:, :tokens]


def _compared(
    here: Tensor, there: Tensor, rotation: Rotation, distance: int, planes_a_layer: int
) -> Tensor:
    """Return the errors, ``[3, layers]``, of one of the caches."""
    move = TokenMove(0, here.shape[1], (), 0, 0, distance)
    keys, target = rotated(here[::planes_a_layer], move, rotation), there[::planes_a_layer]
    turning = torch.zeros(keys.shape[-1], dtype=torch.bool, device=keys.device)
    turning[rotation.start : rotation.start + rotation.size] = True
    found = [_off(keys[..., part], target[..., part]) for part in (turning, ~turning)]
    values = [_off(here[1::2], there[1::2])] if planes_a_layer == 2 else []
    return torch.stack([*found, *(values or [torch.zeros_like(found[0])])]).cpu()


def _off(expected: Tensor, found: Tensor) -> Tensor:
    """Return how far each layer is off, ``[layers]``: the error of its token in the middle."""
    apart = (expected.double() - found.double()).flatten(2).norm(dim=-1)
    size = found.double().flatten(2).norm(dim=-1).clamp_min(torch.finfo(torch.float32).tiny)
    middle: Tensor = (apart / size).median(dim=-1).values
    return middle
