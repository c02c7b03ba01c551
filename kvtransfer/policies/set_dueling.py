"""Picks a policy by set dueling: the one that serves most of a sample of the keys leads.

The idea is that of Qureshi et al., "Adaptive Insertion Policies for High Performance Caching", ISCA
2007. The sample is taken as in miniature simulation (Waldspurger et al., "Cache Modeling and
Optimization using Miniature Simulations", ATC 2017): each policy has a miniature cache with one of
``stride`` slots, and is asked for one of ``stride`` keys. A key is always in the sample or never, so
a miniature is hit about as often as the whole cache would be, for a fraction of the time and
memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

from kvtransfer.policies.miniature import MiniatureCache

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.policies import Policy

# A miniature is about as small as can still tell policies apart, and larger where that is cheap.
_FEW_SLOTS, _MORE_SLOTS = 512, 1024
_CHEAP_STRIDE = 32
_MOST_STEP = 4

# Hits are averaged over a short and a long window. A rival takes the lead when it exceeds the
# leader by a share of its own hits, plus the noise: the chunks of some average requests.
_SHORT_REQUESTS, _SHORT_SHARE, _SHORT_NOISE = 16, 0.10, 2.0
_LONG_REQUESTS, _LONG_SHARE, _LONG_NOISE = 500, 0.01, 2.0
# In a lull, the hits of the latest requests are below this share of the usual hits.
_LULL_REQUESTS, _LULL_SHARE = 32, 0.3


def stride_of(slots: int) -> int:
    """The sampling stride for a cache of ``slots`` slots, a power of two."""
    stride = 1
    while slots // stride > (_FEW_SLOTS if stride < _CHEAP_STRIDE else _MORE_SLOTS):
        stride *= 2
    return stride


class SetDueling:
    """Selects the policy that leads by much in a short window, or by a little in a long one.

    The long window counts requests by how much of them was served: a policy that keeps the right
    chunks shows it only when these are requested again. A lull, such as a scan of texts that never
    return, therefore says nothing about the policies, and one of them is set to lead in it.

    Args:
        policies: the competitors, each for ``slots`` slots; the first leads at the beginning.
        slots: size of each miniature.
        stride: one of ``stride`` keys is in the sample.
        in_lulls: position of the policy that leads as a lull begins.
    """

    def __init__(
        self, policies: Sequence[Policy], slots: int, stride: int, in_lulls: int = 0
    ) -> None:
        self._step = min(stride, _MOST_STEP)
        self._mask = stride // self._step - 1
        self._miniatures = [MiniatureCache(policy, slots) for policy in policies]
        self._short = [0.0] * len(policies)
        self._long = [0.0] * len(policies)
        """Decayed sums of hits, by policy."""
        self._request_chunks = 0.0
        self._usual_share = self._latest_share = 0.0
        """Averages of the share of a request that was served."""
        self._in_lulls = in_lulls
        self.leader = 0
        """Position of the leading policy."""

    def note_request(self, keys: Sequence[str]) -> None:
        """Serve the sampled ``keys`` from every miniature, and choose the leader."""
        sample = self._sample(keys)
        if not sample:
            return
        hits = [miniature.serve(sample) for miniature in self._miniatures]
        self._count(hits, len(sample))
        if self._latest_share < _LULL_SHARE * self._usual_share:
            self.leader = self._in_lulls
        for rival in range(len(hits)):
            if rival != self.leader and self._exceeds_leader(rival):
                self.leader = rival

    def _sample(self, keys: Sequence[str]) -> Sequence[str]:
        """Every ``_step``-th key, which is a fixed position of a prefix; of those some by hash."""
        some, mask = keys[:: self._step], self._mask
        return [key for key in some if not crc32(key.encode()) & mask] if mask else some

    def _count(self, hits: Sequence[int], chunks: int) -> None:
        served = max(hits) / chunks
        self._short = _decayed_sums(self._short, hits, 1 / _SHORT_REQUESTS)
        self._long = _decayed_sums(self._long, hits, served / _LONG_REQUESTS)
        self._request_chunks += (chunks - self._request_chunks) / _SHORT_REQUESTS
        self._usual_share += (served - self._usual_share) / _LONG_REQUESTS
        self._latest_share += (served - self._latest_share) / _LULL_REQUESTS

    def _exceeds_leader(self, rival: int) -> bool:
        short = self._short[rival] - self._short[self.leader]
        long = self._long[rival] - self._long[self.leader]
        if short > _SHORT_SHARE * self._short[rival] + _SHORT_NOISE * self._request_chunks:
            return True
        least = _LONG_SHARE * self._long[rival] + _LONG_NOISE * self._request_chunks
        return long > least and short >= 0.0


def _decayed_sums(sums: Sequence[float], hits: Sequence[int], decay: float) -> list[float]:
    return [(1.0 - decay) * sum_ + hit for sum_, hit in zip(sums, hits, strict=True)]
