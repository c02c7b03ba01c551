"""Names the encodings that a chunk may have from the device on: fewer bytes, approximate numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

GROUP_TOKENS = 64
"""A chunk's tokens must be a multiple of this: keys are quantised over as many tokens at once."""


@dataclass(frozen=True)
class Quantisation:
    """Says how the numbers of a chunk are quantised; ``kernels/quantised_layout.py`` has the bytes."""

    codec: str
    """The name that settings, records and messages have for it."""
    bits: int
    """Bits of a number, besides what the numbers of a group share."""
    exact_tokens: int = 0
    """The first tokens of a chunk that are kept as they are. A sequence's first token has by far the
    largest keys, and all later tokens attend to it."""
    exact_dims: int = 0
    """The last elements of each head that are kept as they are, such as the rotated part of MLA."""

    @property
    def label(self) -> str:
        """What keys say of it. A change of the encoding raises the number at the end."""
        exact = f"-{self.exact_tokens}-{self.exact_dims}"
        return f"int{self.bits}{exact} v1"

    def keeping(self, exact_dims: int) -> Quantisation:
        """Return the same with ``exact_dims``."""
        return replace(self, exact_dims=exact_dims)


def levels(codec: str, layers: int) -> list[tuple[Quantisation, int]]:
    """Return how ``codec`` quantises a model's ``layers``, and how many layers it is, in their order.

    Empty if ``codec`` isn't one of :data:`CODECS`: then chunks keep their numbers.
    """
    if codec not in CODECS:
        return []
    if codec != _CACHEGEN:
        return [(_of(codec, CODECS[codec]), layers)]
    fine = -(-layers // _LAYERS_A_FINE_ONE)
    found = [(_of(codec, 5), fine), (_of(codec, 4), layers - fine)]
    return [(quantisation, count) for quantisation, count in found if count]


_CACHEGEN = "cachegen"
CODECS = {"int8": 8, "int5": 5, "int4": 4, _CACHEGEN: 4}
"""Bits of a number by codec, the fewest where its layers differ."""
_LAYERS_A_FINE_ONE = 16
"""How many layers of a model ``cachegen`` gives one of the first layers a bit more for."""


def _of(codec: str, bits: int) -> Quantisation:
    return Quantisation(codec, bits, exact_tokens=1 if bits == 4 else 0)
