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

_FIRST_LIMIT = 64
AGES = 16
AGE_LIMITS = tuple(_FIRST_LIMIT << age for age in range(AGES - 1))
"""Upper limits of all age buckets but the last, in requested chunks: 64, 128, ... 1 million."""
_WIDTHS = (_FIRST_LIMIT, *(end - begin for begin, end in pairwise(AGE_LIMITS)), AGE_LIMITS[-1])

# The hazard rate over all kinds counts like this many chunks of a kind's own.
_PRIOR_CHUNKS = 40.0
_DECAY = 0.99
_LEAST_HAZARD = 0.001


class GittinsTable:
    """Counts, Gittins index and reuse probability for ``kinds`` kinds, at each age."""

    def __init__(self, kinds: int) -> None:
        self._arrivals = [[0.0] * AGES for _ in range(kinds)]
        self._hits = [[0.0] * AGES for _ in range(kinds)]
        self._all_arrivals = [0.0] * AGES
        self._all_hits = [0.0] * AGES
        self.index = [_gittins([_LEAST_HAZARD] * AGES) for _ in range(kinds)]
        """Expected hits for each chunk kept during one tick of the clock, by kind and age."""
        self.reuse_probability = [[1.0] * AGES for _ in range(kinds)]
        """The probability of a request at this age or a later one, by kind and age."""

    def count_arrivals(self, kind: int, age: int, chunks: int) -> None:
        """Count ``chunks`` of ``kind`` that have reached ``age``."""
        self._arrivals[kind][age] += chunks
        self._all_arrivals[age] += chunks

    def count_hits(self, kind: int, age: int, chunks: int) -> None:
        """Count ``chunks`` of ``kind`` that were requested again at ``age``."""
        self._hits[kind][age] += chunks
        self._all_hits[age] += chunks

    def update(self, kind: int) -> None:
        """Compute index and reuse probability of ``kind`` from its counts, and decay the counts."""
        hazards = self._hazards(kind)
        self.index[kind] = _gittins(hazards)
        survival = list(accumulate((1.0 - hazard for hazard in reversed(hazards)), mul))
        self.reuse_probability[kind] = [1.0 - left for left in reversed(survival)]
        self._arrivals[kind], self._all_arrivals = _decayed(
            self._arrivals[kind], self._all_arrivals
        )
        self._hits[kind], self._all_hits = _decayed(self._hits[kind], self._all_hits)

    def _hazards(self, kind: int) -> list[float]:
        """The hazard rate at each age, drawn towards that of all kinds where counts are low."""
        priors = [
            (hits + _LEAST_HAZARD) / (arrivals + 1.0)
            for hits, arrivals in zip(self._all_hits, self._all_arrivals, strict=True)
        ]
        arrivals, hits = self._arrivals[kind], self._hits[kind]
        return [
            min(1.0, (hits[age] + _PRIOR_CHUNKS * prior) / (arrivals[age] + _PRIOR_CHUNKS))
            for age, prior in enumerate(priors)
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
    """The ``counts`` of one kind after decay, and those of all kinds less what it lost."""
    left = [_DECAY * count for count in counts]
    lost = map(sub, counts, left)
    return left, list(map(sub, all_counts, lost))
