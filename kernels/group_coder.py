"""Encodes and decodes some groups of numbers in host memory, in memory that is used again.

torch does the arithmetic over whole rows, with the interpreter lock released. Each step is rounded as
:mod:`.quantised_reference` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np
import torch

from .code_words import ROUNDER, CodeWords
from .plane_stack import as_words
from .quantised_layout import GROUP_TOKENS
from .quantised_parts import INTEGERS, NAN_BITS, KindViews
from .quantised_reference import LARGEST

if TYPE_CHECKING:
    from torch import Tensor

    from .code_words import Bytes, Words
    from .plane_stack import Cells
    from .quantised_layout import QuantisedLayout


@dataclass(frozen=True)
class GroupParts:
    """The parts of some groups of some planes of one kind, as :class:`.KindViews`, for NumPy.

    NumPy takes a part of a view in a fraction of torch's time.
    """

    words: Words
    fifth_bits: Bytes
    minimum: Cells
    step: Cells
    exact_tokens: Cells
    exact_dims: Cells
    """The numbers that are kept as they are, as whole numbers of the same width."""

    @classmethod
    def of(cls, views: KindViews) -> GroupParts:
        """Return all parts of a kind."""
        return cls(
            words=views.words.numpy(),
            fifth_bits=views.fifth_bits.numpy(),
            minimum=views.minimum.numpy(),
            step=views.step.numpy(),
            exact_tokens=as_words(views.exact_tokens),
            exact_dims=as_words(views.exact_dims),
        )

    def some(self, layers: slice, groups: slice, *, by_channel: bool) -> GroupParts:
        """Return the parts of some layers and of some of their groups of 64 tokens.

        Those without the first group have no exact tokens.
        """
        tokens = slice(groups.start * GROUP_TOKENS, groups.stop * GROUP_TOKENS)
        scales = groups if by_channel else tokens
        return GroupParts(
            words=self.words[layers, groups],
            fifth_bits=self.fifth_bits[layers, groups],
            minimum=self.minimum[layers, scales],
            step=self.step[layers, scales],
            exact_tokens=self.exact_tokens[layers, : 0 if groups.start else None],
            exact_dims=self.exact_dims[layers, tokens],
        )


class GroupCoder:
    """Memory for some groups of some planes of one kind, which each call fills anew.

    Args:
        layout: how chunks are encoded.
        kind: which of a layer's planes these are.
        dtype: the planes' dtype.
        planes: how many are encoded or decoded at once.
        groups: of how many times 64 tokens.
    """

    rows: Tensor
    """``[planes, tokens, heads, dim]`` of the planes' dtype, contiguous: what is encoded, and what
    was decoded. Encoding may change it."""

    def __init__(
        self, layout: QuantisedLayout, kind: int, dtype: torch.dtype, planes: int, groups: int
    ) -> None:
        tokens, heads, dims = groups * GROUP_TOKENS, layout.heads, layout.coded_dims
        self.rows = torch.empty(planes, tokens, heads, layout.dim, dtype=dtype)
        self._coded = self.rows[..., :dims]
        words = as_words(self.rows)
        self._coded_words, self._exact_words = words[..., :dims], words[..., dims:]
        is_wide = dtype == torch.float32 and not layout.exact_dims
        self._flat = self.rows if is_wide else torch.empty(planes, tokens, heads, dims)
        self._code_words = CodeWords(layout, self._flat)
        self._levels = layout.levels
        shape = [planes, groups, GROUP_TOKENS, heads, layout.head_groups, layout.group_dims]
        self._numbers = self._flat.view(shape)
        self._axis = 2 if layout.is_by_channel(kind) else -1
        shape[self._axis] = 1
        # Minimum and step, as they are computed with and as they are stored.
        self._scales = torch.empty(2, *shape)
        self._stored = torch.empty(2, *shape, dtype=torch.float16)
        row = (heads, -1)
        self._stored_cells = self._stored.view(2, planes, shape[1] * shape[2], *row).numpy()

    def encode(self, parts: GroupParts) -> None:
        """Encode :attr:`rows` into ``parts``."""
        self._keep_exact(parts)
        minimum, step = self._fill_scales()
        np.copyto(parts.minimum, self._stored_cells[0])
        np.copyto(parts.step, self._stored_cells[1])
        inverse = step.reciprocal_().nan_to_num_(0, 0, 0)
        numbers = self._numbers.sub_(minimum).mul_(inverse).clamp_(0, self._levels)
        if not _are_finite(minimum):
            numbers.nan_to_num_(0)
        numbers.add_(ROUNDER)
        self._code_words.pack(parts.words, parts.fifth_bits)

    def decode(self, parts: GroupParts) -> None:
        """Decode ``parts`` into :attr:`rows`."""
        self._code_words.unpack(parts.words, parts.fifth_bits)
        np.copyto(self._stored_cells[0], parts.minimum)
        np.copyto(self._stored_cells[1], parts.step)
        minimum, step = self._scales.copy_(self._stored)
        self._numbers.mul_(step).add_(minimum)
        if self.rows.dtype == torch.float16:
            self._flat.clamp_(-LARGEST, LARGEST)
        if self._flat is not self.rows:
            self._coded.copy_(self._flat)
        if not _are_finite(self._scales):
            integers = self._coded.view(INTEGERS[self.rows.dtype])
            integers[self._flat.isnan()] = NAN_BITS[self.rows.dtype]
        self._restore_exact(parts)

    def _fill_scales(self) -> tuple[Tensor, Tensor]:
        """Compute minimum and step of all groups, and return them as fp32."""
        minimum, step = self._scales
        torch.amin(self._numbers, self._axis, keepdim=True, out=minimum)
        torch.amax(self._numbers, self._axis, keepdim=True, out=step)
        step.sub_(minimum).div_(self._levels)
        # Adding 0 makes a negative zero positive.
        self._stored.copy_(self._scales.clamp_(-LARGEST, LARGEST)).add_(0)
        if not _are_finite(step):
            undefined = step.isnan()
            self._stored.view(torch.int16)[:, undefined] = NAN_BITS[torch.float16]
        self._scales.copy_(self._stored)
        return minimum, step

    def _keep_exact(self, parts: GroupParts) -> None:
        np.copyto(parts.exact_dims, self._exact_words)
        if self._flat is not self.rows:
            self._flat.copy_(self._coded)
        exact = parts.exact_tokens.shape[1]
        if exact:
            np.copyto(parts.exact_tokens, self._coded_words[:, :exact])
            self._flat[:, :exact] = self._flat[:, exact : exact + 1]

    def _restore_exact(self, parts: GroupParts) -> None:
        np.copyto(self._exact_words, parts.exact_dims)
        exact = parts.exact_tokens.shape[1]
        np.copyto(self._coded_words[:, :exact], parts.exact_tokens)


def _are_finite(numbers: Tensor) -> bool:
    """Say whether none is infinite or NaN; of as many numbers of fp16, no sum is too large."""
    return isfinite(numbers.sum())
