"""Collects the formats of the parts of pages as SGLang registers its pools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import group_of
from kvtransfer.chunks.layout import ChunkFormat

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch


class PageFormats:
    """Implements :class:`kvtransfer.chunks.layout.Formats`; each part of a page counts as a piece."""

    def __init__(self) -> None:
        self._forms: list[ChunkFormat] = []

    def add(self, layout: str, dtype: torch.dtype, tokens: int, part_bytes: Iterable[int]) -> range:
        """Learn the parts of one pool's pages; returns the numbers of their formats.

        Args:
            layout: SGLang's name of the pool's layout.
            dtype: of the pool; a part may hold others, too.
            tokens: of a page.
            part_bytes: the length of each part.
        """
        first = len(self._forms)
        name = str(dtype).removeprefix("torch.")
        for nbytes in part_bytes:
            fitting = "uint8" if nbytes % dtype.itemsize else name
            self._forms.append(ChunkFormat(f"sglang {layout}", fitting, (nbytes,), tokens, nbytes))
        return range(first, len(self._forms))

    @property
    def entries(self) -> PageFormats:
        """These: a part is one entry."""
        return self

    @property
    def formats(self) -> tuple[ChunkFormat, ...]:
        """The formats of all parts so far."""
        return tuple(self._forms)

    def of(self, key: str) -> ChunkFormat:
        """The format of the part ``key``."""
        return self._forms[group_of(key)]

    def counted_tokens(self, key: str) -> int:
        """The tokens of a page for the first part of its first pool, so that they count once."""
        return self._forms[0].tokens if group_of(key) == 0 else 0

    @property
    def slot_bytes(self) -> int:
        """Bytes of the largest part so far; 0 where there is none."""
        return max((form.nbytes for form in self._forms), default=0)

    def slots_in(self, gib: float) -> int:
        """Count the largest parts that fit into ``gib`` GiB."""
        return int(gib * 2**30) // max(1, self.slot_bytes)

    @property
    def chunk_tokens(self) -> int:
        """Tokens of a page."""
        return self._forms[0].tokens if self._forms else 0
