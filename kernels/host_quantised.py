"""Encodes and decodes in host memory: as many planes at a time as the processor's cache holds.

Blocks are read once and copied by NumPy, those of several planes and of neighbouring blocks at once,
into memory where :class:`.group_coder.GroupCoder` encodes them; decoding goes the other way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from .group_coder import GroupCoder, GroupParts
from .part_targets import part_targets
from .plane_stack import as_words, copy_cells, even_stacks
from .quantised_layout import GROUP_TOKENS
from .quantised_parts import KindViews, check_gather, check_quantised, check_scatter
from .reference import plane_shape
from .shared_work import ALONE
from .token_move import TokenMove
from .token_move import parts as token_parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from .plane_stack import Cells
    from .quantised_layout import QuantisedLayout
    from .shared_work import Helpers
    from .token_move import Part

# Bytes of numbers, in fp32, that are encoded or decoded at once. Fewer would fit a cache of the second
# level, but then the calls themselves, of torch and NumPy, cost more than the cache of the third does.
_BATCH_BYTES = 1536 << 10


class HostQuantised:
    """Encodes blocks in host memory, and decodes into them; when a call returns, its copy is over.

    Any thread may call, but two calls at once must not write the same tokens or the same chunk.

    Args:
        planes: ``[blocks, block_tokens, heads, dim]`` each, any strides, all alike; tokens and dim
            may be cut into two dimensions each, see :mod:`.reference`. They stay the caller's; the
            object keeps them alive.
        layout: how chunks are encoded.
        helpers: take part in scatters, for which a request waits; gathers run beside the model.

    Raises:
        ValueError: the planes are not alike, ``layout`` is not of them, or their numbers can't be
            quantised.
    """

    def __init__(
        self, planes: Sequence[Tensor], layout: QuantisedLayout, helpers: Helpers = ALONE
    ) -> None:
        check_quantised(planes, layout)
        self.planes = planes
        self._helpers = helpers
        self._layout = layout
        self._block_tokens = plane_shape(planes[0])[1]
        self._kinds = [
            _stacks(planes[kind :: layout.planes_a_layer]) for kind in range(layout.planes_a_layer)
        ]
        group_bytes = 4 * GROUP_TOKENS * layout.heads * layout.coded_dims
        most = max(1, _BATCH_BYTES // group_bytes)
        self._groups = next(
            n for n in range(min(most, layout.groups), 0, -1) if layout.groups % n == 0
        )
        batches = -(-layout.layers * self._groups // most)
        self._layers = -(-layout.layers // batches)

    def gather_blocks(self, block_ids: Sequence[int], encoded: Tensor) -> None:
        """See :func:`.quantised_reference.gather_quantised`."""
        check_gather(self.planes, self._layout, block_ids, encoded)
        for share in self._shares(1):
            for batch in self._batches(encoded, block_ids, 0, share):
                for own, rows in batch.pairs():
                    copy_cells(rows, own)
                batch.coder.encode(batch.parts)

    def scatter_blocks(
        self, encoded: Tensor, block_ids: Sequence[int], first_token: int = 0
    ) -> None:
        """See :func:`.quantised_reference.scatter_quantised`."""
        check_scatter(self.planes, self._layout, block_ids, encoded, first_token)
        self._helpers.run(
            [
                partial(self._decode, encoded, block_ids, first_token, share)
                for share in self._shares(1 + self._helpers.count)
            ]
        )

    def _decode(
        self, encoded: Tensor, block_ids: Sequence[int], first_token: int, share: _Share
    ) -> None:
        for batch in self._batches(encoded, block_ids, first_token, share):
            batch.coder.decode(batch.parts)
            for own, rows in batch.pairs():
                copy_cells(own, rows)

    def _batches(
        self, encoded: Tensor, block_ids: Sequence[int], first_token: int, share: _Share
    ) -> Iterator[_Batch]:
        layout, dtype, kind = self._layout, self.planes[0].dtype, share.kind
        parts = GroupParts.of(KindViews.of(encoded, layout, kind, dtype))
        coder = GroupCoder(layout, kind, dtype, self._layers, self._groups)
        for groups, span in self._spans(block_ids, first_token):
            found = [_Stack.of(*stack, span, coder.rows) for stack in self._kinds[kind]]
            for layers in share.layers:
                some = parts.some(layers, groups, by_channel=layout.is_by_channel(kind))
                yield _Batch(found, layers, coder, some)

    def _shares(self, count: int) -> list[_Share]:
        """Deal out each kind of planes in ``count`` shares, as far as there are batches of layers."""
        batches = list(self._layer_batches())
        return [
            _Share(kind, batches[i::count])
            for kind in range(len(self._kinds))
            for i in range(min(count, len(batches)))
        ]

    def _spans(self, block_ids: Sequence[int], first_token: int) -> Iterator[tuple[slice, _Span]]:
        """Yield groups of a chunk, and which of their tokens lie where in the blocks."""
        end_token = first_token + len(block_ids) * self._block_tokens
        for group in range(0, self._layout.groups, self._groups):
            groups = slice(group, group + self._groups)
            begin = max(first_token, GROUP_TOKENS * groups.start)
            end = min(end_token, GROUP_TOKENS * groups.stop)
            if begin < end:
                first, block_token = divmod(begin - first_token, self._block_tokens)
                ids = block_ids[first : -(-(end - first_token) // self._block_tokens)]
                token_move = TokenMove(begin, end, ids, block_token, 0, 0)
                span = _Span(
                    begin - GROUP_TOKENS * group, list(token_parts(token_move, self._block_tokens))
                )
                yield groups, span

    def _layer_batches(self) -> Iterator[slice]:
        """Yield layers, equally many each time: of the last ones, some come twice."""
        for first in range(0, self._layout.layers, self._layers):
            end = min(first + self._layers, self._layout.layers)
            yield slice(end - self._layers, end)


class _Share(NamedTuple):
    """Planes that one thread encodes or decodes, in memory of its own."""

    kind: int
    layers: Sequence[slice]


@dataclass(frozen=True)
class _Span:
    """Successive tokens of some groups, and where they lie."""

    first_token: int
    """Counted from the first token of the groups."""
    parts: Sequence[Part]


@dataclass(frozen=True)
class _Stack:
    """Planes that lie evenly in memory, and where some tokens of theirs lie."""

    members: slice
    """Which layers' planes these are."""
    pairs: Sequence[tuple[Cells, Cells]]
    """Places, ``[members, ...]``, and their rows of a coder, ``[layers, ...]`` of the same shape."""

    @classmethod
    def of(cls, members: slice, blocks: Cells, span: _Span, rows: Tensor) -> _Stack:
        """Find the tokens of ``span`` in ``blocks`` and in a coder's rows; views of both."""
        cells = as_words(rows[:, span.first_token :]).view(blocks.dtype)
        pairs = [
            (place, cells[:, tokens].reshape(len(cells), *place.shape[1:]))
            for tokens, place in part_targets(blocks, span.parts)
        ]
        return cls(members, pairs)


@dataclass(frozen=True)
class _Batch:
    """Some groups of some layers, and memory in which they are encoded or decoded."""

    stacks: Sequence[_Stack]
    layers: slice
    coder: GroupCoder
    parts: GroupParts

    def pairs(self) -> Iterator[tuple[Cells, Cells]]:
        """Pair places in the planes with their rows of the coder; both are views of one shape."""
        for stack in self.stacks:
            first = max(stack.members.start, self.layers.start)
            end = min(stack.members.stop, self.layers.stop)
            if first < end:
                own = slice(first - stack.members.start, end - stack.members.start)
                place_of = slice(first - self.layers.start, end - self.layers.start)
                for place, rows in stack.pairs:
                    yield place[own], rows[place_of]


def _stacks(planes: Sequence[Tensor]) -> list[tuple[slice, Cells]]:
    """Stack planes if all lie evenly in memory; otherwise each is a stack of its own."""
    stacks = even_stacks(planes)
    if len(stacks) == 1:
        return [(slice(0, len(planes)), stacks[0][1])]
    return [(slice(i, i + 1), even_stacks([plane])[0][1]) for i, plane in enumerate(planes)]
