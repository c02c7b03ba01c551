"""Computes the Gittins index of a cached chunk, from hazard rates learned by kind and age.

Chunks are classed by kind and by age, in buckets whose width doubles, as in LHD (Beckmann et al.,
"LHD: Improving Cache Hit Rate by Maximizing Hit Density", NSDI 2018). For each class two numbers
are counted: chunks that reached it, and chunks that were requested again in it. Their ratio is the
hazard rate. From the hazard rates of this and all later ages follows the Gittins index (Gittins,
"Bandit Processes and Dynamic Allocation Indices", 1979): the expected hits for each unit of room and
time, up to the stopping time that makes this ratio largest. The chunk with the lowest index is the
one to evict.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from operator import mul, sub
from typing import NamedTuple

_FIRST_LIMIT = 64
AGES = 16
AGE_LIMITS = tuple(_FIRST_LIMIT << age for age in range(AGES - 1))
"""Upper limits of all age buckets but the last, in requested chunks: 64, 128, ... 1 million."""
_WIDTHS = (_FIRST_LIMIT, *(end - begin for begin, end in pairwise(AGE_LIMITS)), AGE_LIMITS[-1])

# The hazard rate over all kinds counts like this many chunks of a kind's own.
_PRIOR_CHUNKS = 40.0
_DECAY = 0.99
_LEAST_HAZARD = 0.001


class _Counts(NamedTuple):
    """The counts of one kind and those of all kinds, by age, as they were at an update."""

    arrivals: list[float]
    hits: list[float]
    all_arrivals: list[float]
    all_hits: list[float]


class GittinsTable:
    """Counts, Gittins index and reuse probability for ``kinds`` kinds, at each age."""

    def __init__(self, kinds: int) -> None:
        self._arrivals = [[0.0] * AGES for _ in range(kinds)]
        self._hits = [[0.0] * AGES for _ in range(kinds)]
        self._all_arrivals = [0.0] * AGES
        self._all_hits = [0.0] * AGES
        self._updates: dict[int, _Counts] = {}
        """The latest update of each kind, until somebody asks for what follows from it."""
        self._index = [_gittins([_LEAST_HAZARD] * AGES) for _ in range(kinds)]
        self._reuse_probability = [[1.0] * AGES for _ in range(kinds)]

    def count_arrivals(self, kind: int, age: int, chunks: int) -> None:
        """Count ``chunks`` of ``kind`` that have reached ``age``."""
        self._arrivals[kind][age] += chunks
        self._all_arrivals[age] += chunks

    def count_hits(self, kind: int, age: int, chunks: int) -> None:
        """Count ``chunks`` of ``kind`` that were requested again at ``age``."""
        self._hits[kind][age] += chunks
        self._all_hits[age] += chunks

    def update(self, kind: int) -> None:
        """Base index and reuse probability of ``kind`` on its counts so far, and decay the counts."""
        arrivals, hits = self._arrivals[kind], self._hits[kind]
        self._updates[kind] = _Counts(arrivals, hits, self._all_arrivals, self._all_hits)
        self._arrivals[kind], self._all_arrivals = _decayed(arrivals, self._all_arrivals)
        self._hits[kind], self._all_hits = _decayed(hits, self._all_hits)

    def index(self, kind: int) -> list[float]:
        """Expected hits for each chunk of ``kind`` kept during one tick of the clock, by age."""
        if kind in self._updates:
            self._compute(kind)
        return self._index[kind]

    def reuse_probability(self, kind: int) -> list[float]:
        """The probability that a chunk of ``kind`` is requested at an age or later, by age."""
        if kind in self._updates:
            self._compute(kind)
        return self._reuse_probability[kind]

    def _compute(self, kind: int) -> None:
        hazards = _hazards(self._updates.pop(kind))
        self._index[kind] = _gittins(hazards)
        survival = list(accumulate((1.0 - hazard for hazard in reversed(hazards)), mul))
        self._reuse_probability[kind] = [1.0 - left for left in reversed(survival)]


def _hazards(counts: _Counts) -> list[float]:
    """The hazard rate at each age, drawn towards that of all kinds where counts are low."""
    priors = [
        (hits + _LEAST_HAZARD) / (arrivals + 1.0)
        for hits, arrivals in zip(counts.all_hits, counts.all_arrivals, strict=True)
    ]
    return [
        min(1.0, (hits + _PRIOR_CHUNKS * prior) / (arrivals + _PRIOR_CHUNKS))
        for hits, arrivals, prior in zip(counts.hits, counts.arrivals, priors, strict=True)
    ]


def _gittins(hazards: list[float]) -> list[float]:
    """The Gittins index at each age.

    It goes from the last age to the first, and merges an age with the later ones that raise its
    ratio of expected hits to expected room and time.
    """
    index = [0.0] * AGES
    later: list[tuple[float, float, float]] = []
    for age in range(AGES - 1, -1, -1):
        hits, survival = hazards[age], 1.0 - hazards[age]
        room = _WIDTHS[age] * (1.0 - hits / 2)
        while later and later[-1][0] * room > hits * later[-1][1]:
            more_hits, more_room, more_survival = later.pop()
            hits += survival * more_hits
            room += survival * more_room
            survival *= more_survival
        later.append((hits, room, survival))
        index[age] = hits / room
    return index


def _decayed(counts: list[float], all_counts: list[float]) -> tuple[list[float], list[float]]:
    """New lists: the ``counts`` of one kind after decay, those of all kinds less what it lost."""
    if not any(counts):
        return counts.copy(), all_counts.copy()
    left = [_DECAY * count for count in counts]
    lost = map(sub, counts, left)
    return left, list(map(sub, all_counts, lost))
