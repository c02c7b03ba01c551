"""Defines the jobs that one side plans and the other carries out, and the report that it returns.

Plain data. A job moves one chunk; its number is never used twice. Every rank carries out the same
plan on its own shard, so reports are summed over ranks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kvtransfer.move import Move


class Load(NamedTuple):
    """Bring a chunk into blocks, or only into its slot."""

    job: int
    key: str
    """The chunk's key and its tenant, see :mod:`kvtransfer.chunks.keys`."""
    slot: int
    fetch: bool
    """The slot doesn't hold the chunk: get it from the store first."""
    block_ids: tuple[int, ...]
    """The manager's blocks to fill, in token order; none: the chunk stays in the slot."""
    first_token: int = 0
    """Token of the chunk with which the first block begins."""
    priority: int = 0
    """The waiting fetch with the lowest number begins first."""
    start_within_s: float = math.inf
    """A fetch that has not begun after this many seconds is given up."""
    moves: tuple[Move, ...] = ()
    """What is moved to other positions, beside what goes into ``block_ids``."""
    is_timed: bool = False
    """Whether its report says when it was fetched and copied."""


class Save(NamedTuple):
    """Copy whole blocks into a slot."""

    job: int
    key: str
    slot: int
    block_ids: tuple[int, ...]
    put: bool = True
    """Whether what is copied is put into the store, too."""
    ttl_s: int | None = None
    """How long it may live there; None: as long as the store is set to."""


class GapJob(NamedTuple):
    """Compute tokens of a request between those that were moved into its blocks."""

    job: int
    block_ids: tuple[int, ...]
    """The request's blocks, in token order, from its first token up to the last that it moves or
    computes."""
    gaps: tuple[tuple[int, int], ...]
    """Tokens ``[start, end)`` to compute, in order."""
    token_ids: tuple[int, ...]
    """The ids of the tokens of all gaps, one behind the other."""


class Put(NamedTuple):
    """Put into the store what an earlier save or fetch has left in a slot."""

    job: int
    key: str
    slot: int
    ttl_s: int | None = None
    """See ``Save``; what the store holds already lives on as it does."""


class Took(NamedTuple):
    """When bytes were on their way, in seconds since the epoch, and how many."""

    began_s: float
    ended_s: float
    nbytes: int

    def add(self, other: Took | None) -> Took:
        """From the first begin to the last end."""
        if other is None:
            return self
        began_s, ended_s = min(self.began_s, other.began_s), max(self.ended_s, other.ended_s)
        return Took(began_s, ended_s, self.nbytes + other.nbytes)


class LoadTimes(NamedTuple):
    """What a load took on its way."""

    fetch: Took | None = None
    """From the store into its slot; None: it was not fetched, or it was too late to begin."""
    copy: Took | None = None
    """From its slot into blocks; None: it was not copied."""

    def add(self, other: LoadTimes) -> LoadTimes:
        """The same load on several ranks."""
        return LoadTimes(
            self.fetch.add(other.fetch) if self.fetch else other.fetch,
            self.copy.add(other.copy) if self.copy else other.copy,
        )


@dataclass(frozen=True)
class Plan:
    """Jobs for one worker, in the order in which they hold each slot."""

    loads: tuple[Load, ...] = ()
    saves: tuple[Save, ...] = ()
    puts: tuple[Put, ...] = ()


@dataclass
class Report:
    """Jobs that have ended since the last report, each with the number of ranks that ended it."""

    loaded: dict[int, int] = field(default_factory=dict)
    copied: dict[int, int] = field(default_factory=dict)
    """Saves whose blocks are free again and whose slot holds the chunk."""
    stored: dict[int, int] = field(default_factory=dict)
    """Saves and puts that no longer need their slot: put, failed or dropped."""
    failed: set[int] = field(default_factory=set)
    """Jobs, also counted elsewhere here, that did not bring or compute the bytes."""
    computed: dict[int, int] = field(default_factory=dict)
    """Gap jobs."""
    unput: set[int] = field(default_factory=set)
    """Jobs in ``stored`` that put nothing, or not everything."""
    absent: set[tuple[str, str]] = field(default_factory=set)
    """Tiers, and keys of chunks or pieces that each was found not to hold, or not any more."""
    times: dict[int, LoadTimes] = field(default_factory=dict)
    """What the timed loads of ``loaded`` took."""

    def add(self, other: Report) -> None:
        """Sum ``other`` into this."""
        for mine, theirs in (
            (self.loaded, other.loaded),
            (self.copied, other.copied),
            (self.stored, other.stored),
            (self.computed, other.computed),
        ):
            for job, ranks in theirs.items():
                mine[job] = mine.get(job, 0) + ranks
        self.failed |= other.failed
        self.unput |= other.unput
        self.absent |= other.absent
        for job, times in other.times.items():
            self.times[job] = self.times[job].add(times) if job in self.times else times

    def __bool__(self) -> bool:
        ended = self.loaded or self.copied or self.stored or self.computed
        return bool(ended or self.absent)
