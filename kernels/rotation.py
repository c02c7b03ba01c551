"""Describes how a model rotates its keys by position, and what moves a key to another position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from torch import Tensor

PAIRINGS = ("neox", "interleaved")


@dataclass(frozen=True, eq=False)
class Rotation:
    """The rotary embedding of a model's keys, the same in all of its layers.

    The elements ``start`` to ``start + size`` of each head are pairs, and each pair is a complex
    number. The model multiplies it by an entry of its table, which the token's position selects.

    A key moves to another position by the quotient of two entries. That undoes exactly the rotation
    that the model applied, its rounding and a factor such as YaRN's included. An angle computed as
    ``distance * frequency`` would not: fp32 rounds ``position * frequency`` by 1e-4 at position
    4,000, and a model in bfloat16 keeps 8 bits of its cosines.

    Raises:
        ValueError: the table is no table of cosines and sines, or another field is out of range.
    """

    table: Tensor
    """``[positions, size]``: the cosines of all pairs, then their sines, as the model multiplies by
    them. It stays the model's, is only read, and lies on the device of the caches."""
    pairing: Literal["neox", "interleaved"]
    """Which elements are a pair: ``neox`` takes one from each half, ``interleaved`` neighbours."""
    start: int = 0
    """The first element of a head that is rotated; the last ones are, in MLA's content."""

    def __post_init__(self) -> None:
        shape = list(self.table.shape)
        if len(shape) != 2 or shape[1] % 2 or not all(shape):
            raise ValueError(f"table is {shape}; pass [positions, size] with an even size")
        if not self.table.is_floating_point():
            raise ValueError(f"table of {self.table.dtype} must hold floating-point numbers")
        if self.pairing not in PAIRINGS:
            raise ValueError(f"pairing={self.pairing!r} must be one of {', '.join(PAIRINGS)}")
        if self.start < 0:
            raise ValueError(f"start={self.start} must not be negative")

    @property
    def positions(self) -> int:
        """How many positions the table has."""
        return int(self.table.shape[0])

    @property
    def size(self) -> int:
        """How many elements of a head are rotated."""
        return int(self.table.shape[1])

    def quotients(self, source: int, target: int, tokens: int) -> Tensor:
        """Return what moves the keys of successive tokens to other positions.

        Args:
            source: the position at which the first token's key was computed.
            target: the position to which it is moved.
            tokens: how many tokens there are.

        Returns:
            ``[tokens, 2, size / 2]`` of fp32, on the table's device: the real parts of the
            quotients, then the imaginary parts. The caller owns it.

        Raises:
            ValueError: a position is not in the table.
        """
        for name, first in (("source", source), ("target", target)):
            if first < 0 or first + tokens > self.positions:
                raise ValueError(
                    f"{name} positions [{first}, {first + tokens}) are not in the rotary table's "
                    f"[0, {self.positions})"
                )
        c0, s0 = self.table[source : source + tokens].float().chunk(2, dim=-1)
        c1, s1 = self.table[target : target + tokens].float().chunk(2, dim=-1)
        norm = c0 * c0 + s0 * s0
        return torch.stack([(c1 * c0 + s1 * s0) / norm, (s1 * c0 - c1 * s0) / norm], dim=1)

    def same_as(self, other: Rotation) -> bool:
        """Say whether both rotate every key alike."""
        if (self.pairing, self.start) != (other.pairing, other.start):
            return False
        return self.table is other.table or torch.equal(self.table, other.table)
