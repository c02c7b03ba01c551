"""Which of several policies serves most just now, tried on a sample of the keys.

Each policy has a miniature of the cache: one slot of ``stride``, asked for one key of as many. A
key is always in the sample or never, so a miniature is hit about as often as the whole cache would
be, for a fraction of the time and memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

from kvtransfer.policies.miniature import Miniature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.policies import Policy

# A miniature is about as small as still tells policies apart, and larger where that costs little.
_FEW_SLOTS, _MORE_SLOTS = 512, 1024
_CHEAP_STRIDE = 32
_MOST_STEP = 4

# A lead that calls for another policy, as a share of its hits, and in requests' chunks: noise.
_SOON_REQUESTS, _SOON_SHARE, _SOON_NOISE = 16, 0.10, 2.0
_LATE_REQUESTS, _LATE_SHARE, _LATE_NOISE = 500, 0.01, 2.0
# A lull: among the latest requests so small a part is served of what usually is.
_LULL_REQUESTS, _LULL_SHARE = 32, 0.3


def stride_of(slots: int) -> int:
    """One key of how many is in the sample for a cache of ``slots``: a power of two."""
    stride = 1
    while slots // stride > (_FEW_SLOTS if stride < _CHEAP_STRIDE else _MORE_SLOTS):
        stride *= 2
    return stride


class Contest:
    """Follows the policy that leads: by much among the latest requests, or by a little for long.

    The latter is counted in requests that were served, for a policy that keeps what others lose
    shows that only when it is asked for again. So a lull, such as a scan of texts that never come
    again, tells nothing of who keeps the right chunks: it is left to one that is known to.

    Args:
        policies: those that compete, each for ``slots`` slots; the first leads at first.
        slots: of each miniature.
        stride: one key of so many is in the sample.
        in_lulls: the place of the policy that leads as a lull begins.
    """

    def __init__(
        self, policies: Sequence[Policy], slots: int, stride: int, in_lulls: int = 0
    ) -> None:
        self._step = min(stride, _MOST_STEP)
        self._mask = stride // self._step - 1
        self._miniatures = [Miniature(policy, slots) for policy in policies]
        self._soon = [0.0] * len(policies)
        self._late = [0.0] * len(policies)
        self._request_chunks = 0.0
        self._usually_served = self._lately_served = 0.0
        """Shares of a request."""
        self._in_lulls = in_lulls
        self.leader = 0
        """Its place among the policies."""

    def note_request(self, keys: Sequence[str]) -> None:
        """See what each makes of it."""
        sample = self._sample(keys)
        if not sample:
            return
        hits = [miniature.serve(sample) for miniature in self._miniatures]
        served = max(hits) / len(sample)
        self._soon = _faded(self._soon, hits, 1 / _SOON_REQUESTS)
        self._late = _faded(self._late, hits, served / _LATE_REQUESTS)
        self._request_chunks += (len(sample) - self._request_chunks) / _SOON_REQUESTS
        self._usually_served += (served - self._usually_served) / _LATE_REQUESTS
        self._lately_served += (served - self._lately_served) / _LULL_REQUESTS
        if self._lately_served < _LULL_SHARE * self._usually_served:
            self.leader = self._in_lulls
        for rival in range(len(hits)):
            if self._leads(rival):
                self.leader = rival

    def _sample(self, keys: Sequence[str]) -> Sequence[str]:
        """By the place in the request, which a prefix has for good; of those by their hash."""
        some, mask = keys[:: self._step], self._mask
        return [key for key in some if not crc32(key.encode()) & mask] if mask else some

    def _leads(self, rival: int) -> bool:
        soon = self._soon[rival] - self._soon[self.leader]
        late = self._late[rival] - self._late[self.leader]
        if soon > _SOON_SHARE * self._soon[rival] + _SOON_NOISE * self._request_chunks:
            return True
        least = _LATE_SHARE * self._late[rival] + _LATE_NOISE * self._request_chunks
        return late > least and soon >= 0.0


def _faded(sums: Sequence[float], hits: Sequence[int], share: float) -> list[float]:
    return [(1.0 - share) * sum_ + hit for sum_, hit in zip(sums, hits, strict=True)]
