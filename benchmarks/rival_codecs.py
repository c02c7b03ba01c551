"""Emulates the lossy encodings of others: what they make of the numbers, and how many bits they take."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_FINE_KEYS, _FINE_VALUES = 10, 2
"""How many of the first layers have 32 bins in LMCache's cachegen; the others have 16."""
_TABLE_BITS = (33 * 2 + 4) * 8
"""For each channel of a chunk of 256 tokens: its distribution, and a length."""
_TABLE_TOKENS = 256


class Encoded(NamedTuple):
    """Planes as they are decoded, and what they took."""

    planes: list[Tensor]
    bits: float
    """Of a number, scales and tables included."""


def fp8_cast(planes: Sequence[Tensor]) -> Encoded:
    """Round each number to e4m3, without a scale, as a cache in fp8 does."""
    return Encoded([p.to(torch.float8_e4m3fn).to(p.dtype) for p in planes], 8.0)


def lmcache_cachegen(planes: Sequence[Tensor]) -> Encoded:
    """Quantise as LMCache 0.5.6's ``cachegen`` does: a scale for each token of a layer, over all heads.

    Its arithmetic coder is not run: a number takes the entropy of its channel's bins, and its share
    of the tables that are stored beside them. That is what a perfect coder would reach.
    """
    found = [_binned(plane, _bins(i)) for i, plane in enumerate(planes)]
    return Encoded([plane for plane, _ in found], sum(bits for _, bits in found) / len(found))


def _bins(plane: int) -> int:
    layer, kind = divmod(plane, 2)
    return 32 if layer < (_FINE_VALUES if kind else _FINE_KEYS) else 16


def _binned(plane: Tensor, bins: int) -> tuple[Tensor, float]:
    """Quantise ``plane``, ``[tokens, heads, dim]``."""
    most = bins // 2 - 1
    scale = plane.float().abs().amax((1, 2), keepdim=True).clamp_min(1e-8)
    codes = (plane.float() * most / scale).round()
    channels = codes.flatten(1).int()
    bits = _entropy(channels) + 32 / channels.shape[1] + _TABLE_BITS / _TABLE_TOKENS
    return (codes * scale / most).to(plane.dtype), bits


def _entropy(channels: Tensor) -> float:
    """The mean entropy of the columns of ``channels``, ``[tokens, channels]``, in bits."""
    counts = torch.stack([(channels == code).sum(0) for code in channels.unique()])
    shares = counts / channels.shape[0]
    return float(-(shares * shares.clamp_min(1e-12).log2()).sum(0).mean())
