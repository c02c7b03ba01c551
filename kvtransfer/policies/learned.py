"""The default: in the order that serves most just now, what was learned, recency or adaptive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.policies.arc import ARC
from kvtransfer.policies.contest import Contest, stride_of
from kvtransfer.policies.hazard import Hazard
from kvtransfer.policies.lru import LRU

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kvtransfer.policies import Policy
    from kvtransfer.policies.runs import Run


class Learned(Hazard):
    """Goes by what was learned, unless miniatures show that LRU or ARC would serve more.

    Whichever order it follows, it learns on, and evicts from the end of a request.
    """

    def __init__(self, slots: int) -> None:
        super().__init__(slots)
        stride = stride_of(slots)
        few = max(1, slots // stride)
        self._slots = slots
        self._adaptive = ARC(few)
        policies: list[Policy] = [Hazard(few), LRU(few), self._adaptive]
        self._contest = Contest(policies, few, stride, in_lulls=policies.index(self._adaptive))
        self._orders = (self._lines.worth_least, self._lines.oldest, self._first_by_share)

    def note_request(self, keys: Sequence[str], slots: Mapping[str, int]) -> None:
        """Learn from it, and see which order serves more."""
        super().note_request(keys, slots)
        self._contest.note_request(keys)

    def _first_to_go(self) -> Run | None:
        return self._orders[self._contest.leader]()

    def _first_by_share(self) -> Run | None:
        """As ARC: the oldest of the chunks asked for once, or of the others, by their shares."""
        too_many = self._familiar.once > self._adaptive.once_share * self._slots
        like = self._lines.oldest_like
        return like(is_familiar=not too_many) or like(is_familiar=too_many)
