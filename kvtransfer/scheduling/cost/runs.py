"""Groups a request's chunks into runs: successive tokens that one tier holds. Pure."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Run(NamedTuple):
    """Successive tokens of a prompt that are in one tier."""

    tier: str
    tokens: int


def runs_of(tiers: Iterable[str], chunk_tokens: int, skip_tokens: int = 0) -> list[Run]:
    """The runs of successive chunks; neighbours of one tier are one run.

    Args:
        tiers: the name of each chunk's tier, in the order of their tokens.
        chunk_tokens: tokens of a chunk.
        skip_tokens: how many leading tokens of the first chunk don't count; fewer than a chunk has.
    """
    runs = [Run(tier, len(list(chunks)) * chunk_tokens) for tier, chunks in groupby(tiers)]
    if runs and skip_tokens:
        runs[0] = Run(runs[0].tier, runs[0].tokens - skip_tokens)
    return runs


def total_tokens(runs: Iterable[Run]) -> int:
    """The tokens of all ``runs``."""
    return sum(run.tokens for run in runs)


def leading(runs: Sequence[Run], tokens: int) -> list[Run]:
    """The first ``tokens`` of ``runs``, which may end within a run; all of them if there are fewer."""
    cut: list[Run] = []
    for run in runs:
        if tokens <= 0:
            break
        cut.append(Run(run.tier, min(run.tokens, tokens)))
        tokens -= run.tokens
    return cut


def tokens_by_tier(runs: Iterable[Run]) -> dict[str, int]:
    """How many tokens of ``runs`` each tier has that has any."""
    tokens: Counter[str] = Counter()
    for run in runs:
        tokens[run.tier] += run.tokens
    return dict(tokens)
