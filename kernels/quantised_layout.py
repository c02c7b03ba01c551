"""Says how long a chunk of quantised numbers is, and where in it each of its parts lies.

A chunk is the layers one after another, each the keys and then the values, or the content. A plane's
numbers are codes of 8, 5 or 4 bits. A group of numbers has a minimum and a step: in planes of keys
the group is one element of a head over 64 tokens, in planes of values or content it is up to 64
elements of one token's head.

Codes lie in words of 32 bits. A word holds one element's codes of as many tokens as fit, which are
equally far apart among 64 tokens: of 4 bits, word ``r`` of 8 holds those of the tokens ``r``,
``r + 8``, ``r + 16`` ..., the first in its lowest bits; of 8 bits, word ``r`` of 16 holds those of
``r``, ``r + 16``, ``r + 32`` and ``r + 48``. So the elements of a head are neighbours in memory
whatever the width of a code, and no single bytes are moved. A code of 5 bits is one of 4 and a bit:
bit ``k`` of byte ``r`` of 8 is that of token ``r + 8 k``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

GROUP_TOKENS = 64
MOST_GROUP_DIMS = 64
WORD_BITS = 32
BITS = (8, 5, 4)
# Bits of a code that are stored in words; the fifth bit is apart.
_WORD_CODE_BITS = {8: 8, 5: 4, 4: 4}
_ALIGNMENT_BYTES = 16


@dataclass(frozen=True)
class Part:
    """Where a part of a plane lies."""

    offset: int
    """Bytes from the begin of the part's layer; a multiple of 16."""
    shape: tuple[int, ...]
    """The items lie without gaps."""
    item_bytes: int

    @property
    def nbytes(self) -> int:
        """How long the part is, without what fills it up to 16 bytes."""
        return prod(self.shape) * self.item_bytes

    @property
    def end(self) -> int:
        """Where the next part begins."""
        return -(-(self.offset + self.nbytes) // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES


@dataclass(frozen=True)
class PlaneParts:
    """Where the parts of one plane of every layer lie."""

    words: Part
    """``[groups, word_rows, heads, coded_dims]`` of 32 bits: the codes, without their fifth bits."""
    fifth_bits: Part
    """``[groups, 8, heads, coded_dims]`` bytes; of other codes than 5 bits ``[groups, 0, ...]``."""
    minimum: Part
    """fp16, ``[groups, heads, coded_dims]`` by channel, ``[tokens, heads, head_groups]`` by token."""
    step: Part
    """As the minimum."""
    exact_tokens: Part
    """``[exact_tokens, heads, coded_dims]``, in the planes' dtype."""
    exact_dims: Part
    """``[tokens, heads, exact_dims]``, in the planes' dtype."""


@dataclass(frozen=True)
class QuantisedLayout:
    """Describes the encoded form of one kind of chunk.

    Raises:
        ValueError: a field has no value that can be encoded; the message names it, and the fix.
    """

    bits: int
    """How wide a code is: 8, 5 or 4."""
    planes: int
    planes_a_layer: int
    """2: keys before values; 1: content, which is quantised like values."""
    tokens: int
    """How many tokens a chunk has; a multiple of 64."""
    heads: int
    dim: int
    """Elements of a head, those included that are kept as they are."""
    element_bytes: int
    """How wide the planes' numbers are: 4 or 2."""
    exact_tokens: int = 0
    """The first tokens of each chunk that are kept as they are. They have codes, too: those of the
    first token behind them, so that no group's range depends on them."""
    exact_dims: int = 0
    """The last elements of each head that are kept as they are, without codes."""

    def __post_init__(self) -> None:
        if self.bits not in BITS:
            raise ValueError(f"bits={self.bits} must be 8, 5 or 4")
        if self.element_bytes not in (2, 4):
            raise ValueError(
                f"element_bytes={self.element_bytes} must be 2 (fp16, bf16) or 4 (fp32); "
                "keep other caches as they are"
            )
        if (
            self.planes_a_layer not in (1, 2)
            or self.planes < 1
            or self.planes % self.planes_a_layer
        ):
            raise ValueError(
                f"planes_a_layer={self.planes_a_layer} doesn't fit {self.planes} planes; pass 2 for "
                "keys and values, 1 for content"
            )
        if self.tokens < 1 or self.tokens % GROUP_TOKENS:
            raise ValueError(
                f"tokens={self.tokens} is no multiple of {GROUP_TOKENS}; use chunks of 256 tokens"
            )
        if self.heads < 1:
            raise ValueError(f"heads={self.heads} must be at least 1")
        self._check_dims()
        if not 0 <= self.exact_tokens < GROUP_TOKENS:
            raise ValueError(
                f"exact_tokens={self.exact_tokens} is not in [0, {GROUP_TOKENS}), the tokens of a "
                "group but one"
            )

    def _check_dims(self) -> None:
        if self.dim < 1 or self.dim % 2:
            raise ValueError(f"dim={self.dim} must be even and at least 2")
        if not 0 <= self.exact_dims < self.dim or self.exact_dims % 2:
            raise ValueError(
                f"exact_dims={self.exact_dims} must be even and in [0, {self.dim}), the elements of "
                "a head"
            )

    @property
    def levels(self) -> int:
        """The largest code."""
        return (1 << self.bits) - 1

    @property
    def layers(self) -> int:
        """How many layers the planes are of."""
        return self.planes // self.planes_a_layer

    @property
    def groups(self) -> int:
        """How many times 64 tokens a chunk has."""
        return self.tokens // GROUP_TOKENS

    @property
    def coded_dims(self) -> int:
        """How many elements of a head have codes; the first ones."""
        return self.dim - self.exact_dims

    @property
    def group_dims(self) -> int:
        """How many elements of a token's head are a group: the most up to 64 that divide them."""
        most = min(MOST_GROUP_DIMS, self.coded_dims)
        return next(n for n in range(most, 0, -1) if self.coded_dims % n == 0)

    @property
    def head_groups(self) -> int:
        """How many groups a token's head has."""
        return self.coded_dims // self.group_dims

    @property
    def word_code_bits(self) -> int:
        """Bits of a code that are stored in words."""
        return _WORD_CODE_BITS[self.bits]

    @property
    def word_tokens(self) -> int:
        """How many tokens a word holds codes of."""
        return WORD_BITS // self.word_code_bits

    @property
    def word_rows(self) -> int:
        """How many words hold one element's codes of 64 tokens."""
        return GROUP_TOKENS // self.word_tokens

    def is_by_channel(self, kind: int) -> bool:
        """Say whether planes ``kind`` of each layer, 0 or 1, are grouped along the tokens."""
        return self.planes_a_layer == 2 and kind == 0

    @cached_property
    def kinds(self) -> tuple[PlaneParts, ...]:
        """The parts of the keys and of the values, or of the content."""
        kinds: list[PlaneParts] = []
        for kind in range(self.planes_a_layer):
            begin = kinds[-1].exact_dims.end if kinds else 0
            kinds.append(self._parts(kind, begin))
        return tuple(kinds)

    @property
    def layer_bytes(self) -> int:
        """From one layer of an encoded chunk to the next."""
        return self.kinds[-1].exact_dims.end

    @property
    def nbytes(self) -> int:
        """How long an encoded chunk is."""
        return self.layers * self.layer_bytes

    def _parts(self, kind: int, begin: int) -> PlaneParts:
        row = (self.heads, self.coded_dims)
        fifth_rows = 8 if self.bits == 5 else 0
        scales = (
            (self.groups, *row)
            if self.is_by_channel(kind)
            else (self.tokens, self.heads, self.head_groups)
        )
        places = (
            ((self.groups, self.word_rows, *row), 4),
            ((self.groups, fifth_rows, *row), 1),
            (scales, 2),
            (scales, 2),
            ((self.exact_tokens, *row), self.element_bytes),
            ((self.tokens, self.heads, self.exact_dims), self.element_bytes),
        )
        parts: list[Part] = []
        for shape, item_bytes in places:
            parts.append(Part(parts[-1].end if parts else begin, shape, item_bytes))
        return PlaneParts(*parts)
