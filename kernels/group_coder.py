"""Encodes and decodes some groups of numbers in host memory, in memory that is used again.

torch does the arithmetic over whole rows, with the interpreter lock released. Each step is rounded as :mod:`.quantised_reference` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .code_words import CodeWords
from .quantised_layout import GROUP_TOKENS
from .quantised_parts import INTEGERS, NAN_BITS
from .quantised_reference import LARGEST, group_scales, inverse_of

if TYPE_CHECKING:
    from torch import Tensor

    from .quantised_layout import QuantisedLayout
    from .quantised_parts import KindViews


class GroupCoder:
    """Memory for some groups of some planes of one kind, which each call fills anew.

    Args:
        layout: how chunks are encoded.
        kind: which of a layer's planes these are.
        dtype: of the planes.
        planes: how many are encoded or decoded at once.
        groups: of how many times 64 tokens.
    """

    rows: Tensor
    """``[planes, tokens, heads, dim]`` of the planes' dtype, contiguous: what is encoded, and what
    was decoded. Encoding may change it."""

    def __init__(
        self, layout: QuantisedLayout, kind: int, dtype: torch.dtype, planes: int, groups: int
    ) -> None:
        self._layout = layout
        tokens, heads, dims = groups * GROUP_TOKENS, layout.heads, layout.coded_dims
        self.rows = torch.empty(planes, tokens, heads, layout.dim, dtype=dtype)
        self._coded = self.rows[..., :dims]
        is_wide = dtype == torch.float32 and not layout.exact_dims
        self._flat = self.rows if is_wide else torch.empty(planes, tokens, heads, dims)
        self._numbers = self._flat.view(
            planes, groups, GROUP_TOKENS, heads, layout.head_groups, layout.group_dims
        )
        self._axis = 2 if layout.is_by_channel(kind) else -1
        scales = list(self._numbers.shape)
        scales[self._axis] = 1
        self._scales = scales
        self._code_words = CodeWords(layout, self._flat)

    def encode(self, views: KindViews, first_group: int) -> None:
        """Encode :attr:`rows` into ``views``, the parts of these groups; see :meth:`KindViews.some`."""
        self._keep_exact(views, first_group)
        if self._flat is not self.rows:
            self._flat.copy_(self._coded)
        if first_group == 0 and self._layout.exact_tokens:
            exact = self._layout.exact_tokens
            self._flat[:, :exact] = self._flat[:, exact : exact + 1]
        numbers = self._numbers
        lowest = numbers.amin(self._axis, keepdim=True)
        highest = numbers.amax(self._axis, keepdim=True)
        minimum, step = group_scales(lowest, highest, self._layout.levels)
        views.minimum.copy_(minimum.view(views.minimum.shape))
        views.step.copy_(step.view(views.step.shape))
        step = step.float()
        numbers.sub_(minimum.float()).mul_(inverse_of(step)).add_(0.5)
        numbers.clamp_(0, self._layout.levels + 0.5)  # so that a fraction is only cut off
        if step.isnan().any():
            numbers.nan_to_num_(0)
        self._code_words.pack(views)

    def decode(self, views: KindViews, first_group: int) -> None:
        """Decode ``views``, the parts of these groups, into :attr:`rows`."""
        self._code_words.unpack(views)
        minimum, step = (part.float().view(self._scales) for part in (views.minimum, views.step))
        self._numbers.mul_(step).add_(minimum)
        if self.rows.dtype == torch.float16:
            self._flat.clamp_(-LARGEST, LARGEST)
        if self._flat is not self.rows:
            self._coded.copy_(self._flat)
        if not (minimum.isfinite().all() and step.isfinite().all()):
            integers = self._coded.view(INTEGERS[self.rows.dtype])
            integers[self._flat.isnan()] = NAN_BITS[self.rows.dtype]
        self._restore_exact(views, first_group)

    def _keep_exact(self, views: KindViews, first_group: int) -> None:
        if self._layout.exact_dims:
            views.exact_dims.copy_(self.rows[..., self._layout.coded_dims :])
        if first_group == 0 and self._layout.exact_tokens:
            views.exact_tokens.copy_(self._coded[:, : self._layout.exact_tokens])

    def _restore_exact(self, views: KindViews, first_group: int) -> None:
        if self._layout.exact_dims:
            self.rows[..., self._layout.coded_dims :] = views.exact_dims
        if first_group == 0 and self._layout.exact_tokens:
            self._coded[:, : self._layout.exact_tokens] = views.exact_tokens
