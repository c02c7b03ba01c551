"""What could be loaded for a request, and how much of it is sooner loaded than computed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Sequence, Set
    from concurrent.futures import Future

    from kvtransfer.chunks.tiling import Tiling
    from kvtransfer.requests.timing import Pace
    from kvtransfer.scheduling.lookup import Lookup
    from kvtransfer.scheduling.planner import Planner


# A request that waits for an answer is asked about in every step: that has to cost nothing.
_REVIEW_S = 0.01


@dataclass(frozen=True)
class Offer:
    """Tokens behind those that need no load; they begin in host memory, if anything does."""

    host_tokens: int
    tokens: int
    """In all, those of host memory among them."""
    worth_tokens: int
    """The leading part that is sooner loaded than computed."""
    judged_tokens: int
    """Those that ``worth_tokens`` was found for: more than ``tokens`` where all of the request's
    chunks, were they in the store, would not be worth the wait for its answer."""


class Offers:
    """For the scheduler's thread; reads what ``planner`` holds and owns ``lookup``."""

    def __init__(self, planner: Planner, lookup: Lookup | None, pace: Pace, tiling: Tiling) -> None:
        self._planner = planner
        self._lookup = lookup
        self._pace = pace
        self._tiling = tiling
        self._reviews_s: dict[str, float] = {}
        """How long a request will have waited when we next ask whether that pays."""

    def ask(self, request_id: str, keys: Sequence[str]) -> None:
        """Begin to find out which of ``keys`` the store holds."""
        missing = [key for key in keys if key not in self._planner.index]
        if self._lookup is not None and missing:
            self._lookup.ask(request_id, missing)

    def ask_when_known(self, request_id: str, keys: Future[list[str]]) -> None:
        """The same of ``keys`` that another thread is still working out, held or not."""
        if self._lookup is not None:
            self._lookup.ask_when_known(request_id, keys)

    def is_answered(self, request_id: str, keys: Sequence[str]) -> bool:
        """Whether it is known what the store holds of the request's ``keys``; asks for it."""
        if self._lookup is None:
            return True
        if not self._lookup.asked(request_id):
            self.ask(request_id, keys)
        return not self._lookup.asked(request_id) or self._lookup.answer(request_id) is not None

    def known(self, request_id: str) -> Set[str]:
        """What the store was found to hold, if that has been asked and answered."""
        if self._lookup is None or not self._lookup.asked(request_id):
            return frozenset()
        return self._lookup.answer(request_id) or frozenset()

    def make(self, request_id: str, keys: Sequence[str], local_tokens: int) -> Offer | None:
        """Of the request's ``keys``, behind ``local_tokens``; None: wait for the store's answer."""
        if self._is_pending(request_id):
            return None
        keys = keys[local_tokens // self._tiling.chunk_tokens :]
        stored = self._stored(request_id, keys[self._planner.held(keys) :])
        if stored is None:
            # At best all of it is there. If even that is not worth its time, don't wait.
            best = self._offer(keys, frozenset(keys), local_tokens, self._answer_s(request_id))
            if best.worth_tokens > best.host_tokens:
                self._put_off(request_id)
                return None
            offer = self._offer(keys, frozenset(), local_tokens)
            return replace(offer, judged_tokens=best.tokens)
        return self._offer(keys, stored, local_tokens)

    def forget(self, request_id: str) -> None:
        """What the store told of the request is over, or not so."""
        self._reviews_s.pop(request_id, None)
        if self._lookup is not None:
            self._lookup.forget(request_id)

    @property
    def is_waiting(self) -> bool:
        """Whether the store owes an answer."""
        return self._lookup is not None and self._lookup.is_waiting

    @property
    def found(self) -> str | None:
        """A key that the store was last seen to hold."""
        return None if self._lookup is None else self._lookup.found

    def take_late(self) -> int:
        """How many answers were given up since the last call."""
        return 0 if self._lookup is None else self._lookup.take_late()

    def close(self) -> None:
        """Ask no more."""
        if self._lookup is not None:
            self._lookup.close()

    def _stored(self, request_id: str, keys: Sequence[str]) -> Set[str] | None:
        """Those of ``keys`` that the store is known to hold; None: it has not answered."""
        if self._lookup is None or not keys:
            return frozenset()
        if not self._lookup.asked(request_id):
            self._lookup.ask(request_id, keys)
        return self._lookup.answer(request_id)

    def _is_pending(self, request_id: str) -> bool:
        """Whether the answer is worth waiting for, as we found not long ago."""
        if self._lookup is None or request_id not in self._reviews_s:
            return False
        if self._lookup.answer(request_id) is not None:
            del self._reviews_s[request_id]
            return False
        return self._lookup.waited_s(request_id) < self._reviews_s[request_id]

    def _put_off(self, request_id: str) -> None:
        assert self._lookup is not None
        self._reviews_s[request_id] = self._lookup.waited_s(request_id) + _REVIEW_S

    def _answer_s(self, request_id: str) -> float:
        assert self._lookup is not None
        self._pace.observe_answers(self._lookup.take_answer_seconds())
        return self._pace.answer_s(self._lookup.waited_s(request_id))

    def _offer(
        self, keys: Sequence[str], stored: Container[str], local_tokens: int, wait_s: float = 0.0
    ) -> Offer:
        chunks = self._planner.loadable(keys, stored)
        host_tokens = self._beyond(min(self._planner.held(keys), chunks), local_tokens)
        tokens = self._beyond(chunks, local_tokens)
        worth = self._pace.worth(local_tokens, host_tokens, tokens - host_tokens, wait_s)
        return Offer(host_tokens, tokens, worth, judged_tokens=tokens)

    def _beyond(self, chunks: int, local_tokens: int) -> int:
        """Tokens of ``chunks`` that ``local_tokens``, which may end within the first, leave."""
        chunk_tokens = self._tiling.chunk_tokens
        return max(0, chunks * chunk_tokens - local_tokens % chunk_tokens)
