"""Leaves out the parts of runs whose chunks can't be had any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.passages.chunk_parts import chunk_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Set

    from kvtransfer.passages.run import Run


def chunk_keys_of(runs: Iterable[Run]) -> list[str]:
    """The keys of all chunks that ``runs`` read, each once, in the order of the prompt."""
    return list(dict.fromkeys(part.key for run in runs for part in chunk_parts(run)))


def available(runs: Iterable[Run], keys: Set[str]) -> tuple[Run, ...]:
    """The parts of ``runs`` that lie in chunks of ``keys``, in the order of the prompt.

    What is behind a chunk that is missing is a run of its own.
    """
    return tuple(piece for run in runs for piece in _pieces(run, keys))


def _pieces(run: Run, keys: Set[str]) -> Iterator[Run]:
    begin = run.start
    for part in chunk_parts(run):
        if part.key not in keys:
            if (piece := run.within(begin, part.start)) is not None:
                yield piece
            begin = part.start + part.tokens
    if (rest := run.within(begin, run.end)) is not None:
        yield rest
