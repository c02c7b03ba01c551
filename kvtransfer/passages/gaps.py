"""Decides which tokens of a prompt are copied from sources, and which gaps are computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kvtransfer.passages.recompute import Recompute
    from kvtransfer.passages.run import Run


@dataclass(frozen=True)
class Gap:
    """Tokens ``[start, end)`` of a prompt, computed with everything before them in place."""

    start: int
    end: int

    @property
    def tokens(self) -> int:
        """How many there are; at least 1."""
        return self.end - self.start


@dataclass(frozen=True)
class Blend:
    """Copies and gaps that together are all tokens from ``start`` to the end of the last copy.

    The engine computes what is behind them as it computes any prompt.
    """

    start: int
    """The first token that isn't had already."""
    copies: tuple[Run, ...] = ()
    """What is copied, in the order of the prompt."""
    gaps: tuple[Gap, ...] = ()
    """What is computed between the copies, in the order of the prompt."""

    @property
    def end(self) -> int:
        """The token behind the last copy; ``start`` if nothing is copied."""
        return self.copies[-1].end if self.copies else self.start

    @property
    def copied_tokens(self) -> int:
        """How many tokens are reused."""
        return sum(copy.tokens for copy in self.copies)

    @property
    def gap_tokens(self) -> int:
        """How many tokens are computed in gaps."""
        return sum(gap.tokens for gap in self.gaps)


def blend(
    runs: Iterable[Run],
    recompute: Recompute,
    *,
    start: int,
    prompt_tokens: int,
    least_copy_tokens: int = 32,
    least_copied_tokens: int = 64,
) -> Blend:
    """Divide a prompt into copies and gaps.

    Args:
        runs: what :func:`match` found, in the order of the prompt and without overlap.
        recompute: how much of the begin of a run is computed anew.
        start: how many leading tokens are had already; what runs have before is left out.
        prompt_tokens: tokens of the prompt. The last one is left to the engine, which samples
            from it.
        least_copy_tokens: shorter copies don't pay, and are computed.
        least_copied_tokens: with fewer tokens in all copies, there are none.
    """
    if prompt_tokens < 1 or not 0 <= start <= prompt_tokens:
        raise ValueError(f"start={start}, prompt_tokens={prompt_tokens}: start lies in the prompt")
    copies = tuple(
        copy
        for run in runs
        if (cut := run.within(start, prompt_tokens - 1)) is not None
        and (copy := _copied(cut, recompute)) is not None
        and copy.tokens >= least_copy_tokens
    )
    found = Blend(start, copies, tuple(_gaps(start, copies)))
    return found if found.copied_tokens >= least_copied_tokens else Blend(start)


def uncovered(runs: Iterable[Run], start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield which tokens ``[first, behind)`` of ``[start, end)`` no run has, in order."""
    for run in runs:
        if run.start > start:
            yield start, min(run.start, end)
        start = max(start, run.end)
    if start < end:
        yield start, end


def _copied(run: Run, recompute: Recompute) -> Run | None:
    anew = 0 if run.is_exact else recompute.of_run(run.tokens)
    return run.within(run.start + anew, run.end)


def _gaps(start: int, copies: Iterable[Run]) -> Iterator[Gap]:
    for copy in copies:
        if copy.start > start:
            yield Gap(start, copy.start)
        start = copy.end
