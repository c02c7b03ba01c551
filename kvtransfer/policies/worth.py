"""What keeping a chunk is worth, learned from what became of those like it.

Chunks are told apart by class and by age, in steps that double. Of each class and step two things
are counted: the chunks that came to it, and those asked for again in it. Their ratio is the chance
to be asked for at that age. The worth of a chunk is the chance of a hit for each chunk-time of room
that it takes from now until the best moment to give up: the Gittins index, which says what goes
first where each may turn out useful at a time of its own.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from operator import mul, sub

_FIRST_STEP = 64
STEPS = 16
# Upper ages of all steps but the last, in chunks asked for since: 64, 128, ... 1 million.
AGES = tuple(_FIRST_STEP << step for step in range(STEPS - 1))
_LENGTHS = (_FIRST_STEP, *(end - begin for begin, end in pairwise(AGES)), AGES[-1])

# So many chunks of a class must have been seen for its own record to outweigh that of all classes.
_TRUST_CHUNKS = 40.0
_FORGET = 0.99


class WorthTable:
    """Records of ``classes`` classes, and the worth at each step of age that follows."""

    def __init__(self, classes: int) -> None:
        self._came = [[0.0] * STEPS for _ in range(classes)]
        self._asked = [[0.0] * STEPS for _ in range(classes)]
        self._all_came = [0.0] * STEPS
        self._all_asked = [0.0] * STEPS
        self.worth = [self._worth([0.001] * STEPS) for _ in range(classes)]
        self.ever = [[1.0] * STEPS for _ in range(classes)]
        """The chance to be asked for again at that age or any later one."""

    def came(self, kind: int, step: int, chunks: int) -> None:
        """``chunks`` of class ``kind`` have reached the age of ``step``."""
        self._came[kind][step] += chunks
        self._all_came[step] += chunks

    def asked(self, kind: int, step: int, chunks: int) -> None:
        """``chunks`` of class ``kind`` were asked for again at the age of ``step``."""
        self._asked[kind][step] += chunks
        self._all_asked[step] += chunks

    def learn(self, kind: int) -> None:
        """Reckon the worth of class ``kind`` anew, and let its record fade a little."""
        everyone = [
            (asked + 0.001) / (came + 1.0)
            for asked, came in zip(self._all_asked, self._all_came, strict=True)
        ]
        came, asked = self._came[kind], self._asked[kind]
        chances = [
            min(1.0, (asked[step] + _TRUST_CHUNKS * chance) / (came[step] + _TRUST_CHUNKS))
            for step, chance in enumerate(everyone)
        ]
        self.worth[kind] = self._worth(chances)
        never = list(accumulate((1.0 - chance for chance in reversed(chances)), mul))
        self.ever[kind] = [1.0 - left for left in reversed(never)]
        self._came[kind], self._all_came = _faded(came, self._all_came)
        self._asked[kind], self._all_asked = _faded(asked, self._all_asked)

    @staticmethod
    def _worth(chances: list[float]) -> list[float]:
        """Of each step, from the last one on: joined with the later ones that raise its rate."""
        worth = [0.0] * STEPS
        later: list[tuple[float, float, float]] = []
        for step in range(STEPS - 1, -1, -1):
            hits, left = chances[step], 1.0 - chances[step]
            room = _LENGTHS[step] * (1.0 - hits / 2)
            while later and later[-1][0] * room > hits * later[-1][1]:
                more_hits, more_room, rest = later.pop()
                hits += left * more_hits
                room += left * more_room
                left *= rest
            later.append((hits, room, left))
            worth[step] = hits / room
        return worth


def _faded(counts: list[float], all_counts: list[float]) -> tuple[list[float], list[float]]:
    """What is left of the ``counts`` of one class, and of those of all."""
    left = [_FORGET * count for count in counts]
    lost = map(sub, counts, left)
    return left, list(map(sub, all_counts, lost))
