"""Describes a run: tokens of a prompt that a source has too, one after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvtransfer.passages.source import Source


@dataclass(frozen=True)
class Run:
    """Tokens ``[start, end)`` of a prompt equal ``[source_start, source_end)`` of a source."""

    start: int
    """The first token in the prompt."""
    tokens: int
    source: Source
    source_start: int
    """The first token, counted from the source's first."""
    is_exact: bool = False
    """Whether the position and all tokens before are equal too, so that the KV is the prompt's."""

    @property
    def end(self) -> int:
        """The token of the prompt behind the run."""
        return self.start + self.tokens

    @property
    def source_end(self) -> int:
        """The token of the source behind the run."""
        return self.source_start + self.tokens

    @property
    def shift(self) -> int:
        """How many positions its keys must be rotated by to stand in the prompt."""
        return self.start - self.source.position - self.source_start

    def within(self, start: int, end: int) -> Run | None:
        """The part that lies in tokens ``[start, end)`` of the prompt; None if there is none."""
        start, end = max(start, self.start), min(end, self.end)
        if start >= end:
            return None
        source_start = self.source_start + start - self.start
        return Run(start, end - start, self.source, source_start, self.is_exact)
