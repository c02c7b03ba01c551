"""Cuts the gaps of requests into batches of rows, each of which one forward of a model computes.

A row may begin and end at any token: what comes later in a prompt is in the same batch or a later one,
and within a forward each layer writes the keys and values of all rows before it reads any.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from kvtransfer.plan import GapJob


class GapRow(NamedTuple):
    """Tokens ``[start, end)`` of a request; to the model they are the end of a prompt."""

    block_ids: NDArray[np.int32]
    """The manager's blocks from the request's first token on, at least up to ``end``."""
    start: int
    end: int
    token_ids: NDArray[np.int32]
    """One for each token of the row."""

    @property
    def tokens(self) -> int:
        """How many tokens are computed."""
        return self.end - self.start

    def cut(self, tokens: int) -> tuple[GapRow, GapRow]:
        """Return the first ``tokens`` of the row, or all if it has fewer, and what is left of it."""
        middle = min(self.end, self.start + tokens)
        first, rest = np.split(self.token_ids, [middle - self.start])
        return (
            self._replace(end=middle, token_ids=first),
            self._replace(start=middle, token_ids=rest),
        )


def batches(jobs: Iterable[GapJob], max_tokens: int, max_rows: int) -> Iterator[list[GapRow]]:
    """Yield the rows of all gaps, in order, batch by batch.

    Args:
        jobs: whose gaps are computed.
        max_tokens: the most tokens of a batch, at least 1.
        max_rows: the most rows of a batch, at least 1.

    Raises:
        ValueError: a job has more or fewer token ids than its gaps have tokens, or a gap is empty
            or begins before the end of the one before it.
    """
    batch: list[GapRow] = []
    free_tokens = max_tokens
    for rest in chain.from_iterable(map(_rows, jobs)):
        while rest.tokens:
            row, rest = rest.cut(free_tokens)
            batch.append(row)
            free_tokens -= row.tokens
            if not free_tokens or len(batch) == max_rows:
                yield batch
                batch, free_tokens = [], max_tokens
    if batch:
        yield batch


def _rows(job: GapJob) -> list[GapRow]:
    """Return one row for each gap."""
    _check(job)
    block_ids = np.asarray(job.block_ids, np.int32)
    lengths = [end - start for start, end in job.gaps]
    parts = np.split(np.asarray(job.token_ids, np.int32), np.cumsum(lengths[:-1], dtype=np.int64))
    return [
        GapRow(block_ids, start, end, ids)
        for (start, end), ids in zip(job.gaps, parts, strict=False)  # no gap is still one part
    ]


def _check(job: GapJob) -> None:
    before = 0
    for start, end in job.gaps:
        if not before <= start < end:
            raise ValueError(f"gap [{start}, {end}) of job {job.job} is empty or out of order")
        before = end
    tokens = sum(end - start for start, end in job.gaps)
    if tokens != len(job.token_ids):
        raise ValueError(
            f"the gaps of job {job.job} have {tokens} tokens, but {len(job.token_ids)} token ids"
        )
