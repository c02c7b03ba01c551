"""The default policy: follows the Gittins index, LRU or ARC, whichever serves most just now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.policies.arc import ARC
from kvtransfer.policies.hazard import Hazard
from kvtransfer.policies.lru import LRU
from kvtransfer.policies.set_dueling import SetDueling, stride_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kvtransfer.policies import Policy
    from kvtransfer.policies.run import Run


class Learned(Hazard):
    """Evicts by learned hazard rates, unless LRU or ARC serve more on a sample of the keys.

    The runs of :class:`Hazard` give the order of all three policies, so that a change of the leader
    moves nothing, and hazard rates are learned whichever leads. In every order a request is
    evicted from its end.
    """

    def __init__(self, slots: int) -> None:
        super().__init__(slots)
        self._begin_duel(slots)

    def resize(self, slots: int) -> None:
        """Compare the policies anew, for ``slots`` slots; the present leader stays ahead at first."""
        super().resize(slots)
        leader = self._duel.leader
        self._begin_duel(slots)
        self._duel.leader = leader

    def note_request(self, keys: Sequence[str], slots: Mapping[str, int]) -> None:
        """Learn hazard rates from the request, and compare the policies on it."""
        super().note_request(keys, slots)
        self._duel.note_request(keys)

    def _begin_duel(self, slots: int) -> None:
        stride = stride_of(slots)
        few = max(1, slots // stride)
        self._slots = slots
        self._arc = ARC(few)
        policies: list[Policy] = [Hazard(few), LRU(few), self._arc]
        self._duel = SetDueling(policies, few, stride, in_lulls=policies.index(self._arc))
        self._victims = (self._queues.lowest_index, self._queues.least_recent, self._arc_victim)

    def _victim(self) -> Run | None:
        return self._victims[self._duel.leader]()

    def _arc_victim(self) -> Run | None:
        """The oldest run of T1 if that is longer than the miniature ARC lets it be, else of T2."""
        from_recent = self._arc_lists.recent > self._arc.recent_share * self._slots
        oldest_of = self._queues.least_recent_of
        return oldest_of(is_frequent=not from_recent) or oldest_of(is_frequent=from_recent)
