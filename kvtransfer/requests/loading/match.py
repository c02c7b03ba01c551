"""Finds what could be loaded for a request, and how much of it loads sooner than it is computed."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from kvtransfer.requests.loading.hits import Hits
from kvtransfer.requests.timing import HOST
from kvtransfer.scheduling.cost.runs import total_tokens
from kvtransfer.scheduling.lookup.located import NOTHING, Located

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kvtransfer.requests.basis import Basis
    from kvtransfer.requests.loading.awaited import Awaited
    from kvtransfer.requests.request_state import RequestState
    from kvtransfer.scheduling.cost.runs import Run


# How often a waiting request's match is judged anew: the engine asks in every step.
_REVIEW_S = 0.01


class Span(NamedTuple):
    """Tokens of a request that lie one behind the other."""

    first_token: int
    tokens: int
    is_exact: bool = True
    """Whether they will be what the model computes; otherwise passages are reused among them."""


@dataclass(frozen=True)
class Match:
    """Cached tokens behind those that need no load."""

    runs: Sequence[Run]
    """The tokens in their order, by tier."""
    worth_tokens: int
    """The leading part that loads sooner than it is computed."""
    host_tokens: int
    """The leading part that host memory alone can bring."""
    judged: Sequence[Run]
    """The runs that ``worth_tokens`` was found for. They exceed ``runs`` where waiting for the
    store's answer would not pay even if the store held all of the request's chunks."""

    @property
    def tokens(self) -> int:
        """All of them, in host memory and in the store."""
        return total_tokens(self.runs)


class Matching:
    """Matches requests' keys against host memory and the store; for the scheduler's thread."""

    def __init__(self, basis: Basis, awaited: Awaited) -> None:
        self._awaited = awaited
        self._planner = basis.planner
        self._store = basis.store
        self._timing = basis.timing
        self._groups = basis.groups
        self.hits = Hits(basis.planner, basis.groups, (HOST, *basis.store.tiers))
        self._reviews_s: dict[str, float] = {}
        """How long each request will have waited when its match is judged anew."""

    def ask(self, request_id: str, keys: Sequence[str]) -> None:
        """Begin to find out what the store holds of the chunks ``keys``."""
        pieces = self._groups.piece_keys(keys)
        slots = self._planner.index.find_all(pieces)
        missing = [key for key, slot in zip(pieces, slots, strict=True) if slot is None]
        if missing:
            self._store.ask(request_id, missing)

    def ask_when_known(self, request_id: str, keys: Future[list[str]]) -> None:
        """Ask about the chunks ``keys``, held or not, once another thread has computed them."""
        self._store.ask_when_known(request_id, self._pieces_of(keys))

    def is_answered(self, request_id: str, keys: Sequence[str]) -> bool:
        """Whether it is known what the store holds of the chunks ``keys``; asks if need be."""
        if not self._store.asked(request_id):
            self.ask(request_id, keys)
        return not self._store.asked(request_id) or self._store.answer(request_id) is not None

    def known(self, request_id: str) -> Located:
        """What the store was found to hold for the request, if it has answered."""
        if not self._store.asked(request_id):
            return NOTHING
        return self._store.answer(request_id) or NOTHING

    def answered(self, state: RequestState) -> tuple[Sequence[str], float]:
        """The chunks, if any, that the store was asked about for the request, and has answered.

        Returns:
            Their keys, and how long ago it was asked, in seconds.
        """
        request_id = state.request_id
        answer = self._store.answer(request_id) if self._store.asked(request_id) else None
        if answer is None or answer is NOTHING:
            return (), 0.0
        keys = state.keys[state.local_tokens // self._groups.chunk_tokens :]
        slots = self._planner.index.find_all(keys)
        asked = [key for key, slot in zip(keys, slots, strict=True) if slot is None]
        return asked, self._store.waited_s(request_id)

    def answer_times_s(self, request_id: str) -> tuple[float, float]:
        """How long ago the store was asked for the request, and how long its answer took.

        Both are zero where its answer isn't needed, or not awaited.
        """
        if not self._store.asked(request_id) or self._store.answer(request_id) is None:
            return 0.0, 0.0
        return self._store.waited_s(request_id), self._store.took_s(request_id)

    def tiers(
        self, located: Located, keys: Sequence[str], slots: Sequence[int | None]
    ) -> list[str]:
        """The tier that each of ``keys`` comes from: host memory where it has one of ``slots``.

        A chunk that left host memory after the match is sought in the fastest tier of the store.
        """
        fastest = next(iter(self._store.tiers), HOST)
        return [
            (tier or fastest) if slot is None else HOST
            for slot, tier in zip(slots, located.tiers(keys), strict=True)
        ]

    def make(self, state: RequestState, local_tokens: int) -> Match | None:
        """The match of the request behind ``local_tokens``; None: wait for the store's answer."""
        request_id = state.request_id
        if self._is_pending(request_id):
            return None
        keys = self._allowed(state, local_tokens)
        held_tokens = self.hits.longest(keys, NOTHING, local_tokens)
        is_held = held_tokens >= len(keys) * self._groups.chunk_tokens
        stored = NOTHING if is_held else self._stored(request_id, keys, local_tokens)
        if stored is not None and not self._asks_again(state, keys, stored, local_tokens):
            return self._judge(keys, stored, local_tokens, held_tokens)
        # At best the fastest tier has all of it. If even that is not worth its time, don't wait.
        wait_s = self._answer_s(request_id)
        best = self._judge(keys, self._everything(keys), local_tokens, held_tokens, wait_s)
        known = self._judge(keys, stored or NOTHING, local_tokens, held_tokens)
        if best.worth_tokens > max(best.host_tokens, known.worth_tokens):
            self._put_off(request_id)
            return None
        return known if stored is not None else replace(known, judged=best.runs)

    def forget(self, request_id: str) -> None:
        """Drop what the store said about the request."""
        self._reviews_s.pop(request_id, None)
        self._awaited.forget(request_id)
        self._store.forget(request_id)

    @property
    def is_waiting(self) -> bool:
        """Whether the store owes an answer, or is about to be asked again."""
        return self._store.is_waiting or self._awaited.is_waiting

    @property
    def found(self) -> Mapping[str, str]:
        """A key that each tier was last seen to hold, by the tier's name."""
        return self._store.found

    def _allowed(self, state: RequestState, local_tokens: int) -> Sequence[str]:
        """The keys of chunks that the request may load, and of those before them."""
        keys = self._groups.usable(state.keys, len(state.request.all_token_ids))
        most = state.control.most_loaded_tokens
        return keys if most is None else keys[: (local_tokens + most) // self._groups.chunk_tokens]

    def _pieces_of(self, keys: Future[list[str]]) -> Future[Sequence[str]]:
        """The keys of all pieces of the chunks ``keys``, computed on the thread that has these."""
        pieces: Future[Sequence[str]] = Future()

        def compute(known: Future[list[str]]) -> None:
            if not known.cancelled():
                found = [] if known.exception() else known.result()
                pieces.set_result(self._groups.piece_keys(found))

        keys.add_done_callback(compute)
        return pieces

    def _stored(self, request_id: str, keys: Sequence[str], local_tokens: int) -> Located | None:
        """What the store is known to hold of ``keys``; None: it has not answered."""
        if not self._store.asked(request_id):
            self.ask(request_id, keys[local_tokens // self._groups.chunk_tokens :])
        return self._store.answer(request_id)

    def _everything(self, keys: Sequence[str]) -> Located:
        """The answer of a store whose fastest tier holds all of ``keys``."""
        return Located(dict.fromkeys(self._groups.piece_keys(keys), self._store.tiers[0]))

    def _asks_again(
        self, state: RequestState, keys: Sequence[str], stored: Located, local_tokens: int
    ) -> bool:
        """Ask the store again where another engine is about to put what it lacks of ``keys``."""
        if not (expected_tokens := self._awaited.tokens(state.request)):
            return False
        most_tokens = self.hits.longest(keys, self._everything(keys), local_tokens)
        hit_tokens = self.hits.longest(keys, stored, local_tokens)
        if not self._awaited.lacks(state.request_id, hit_tokens, min(expected_tokens, most_tokens)):
            return False
        if self._store.waited_s(state.request_id) >= _REVIEW_S:
            self.ask(state.request_id, keys[local_tokens // self._groups.chunk_tokens :])
        return True

    def _is_pending(self, request_id: str) -> bool:
        """Whether the answer was found worth waiting for less than ``_REVIEW_S`` ago."""
        if request_id not in self._reviews_s:
            return False
        if self._store.answer(request_id) is not None:
            del self._reviews_s[request_id]
            return False
        return self._store.waited_s(request_id) < self._reviews_s[request_id]

    def _put_off(self, request_id: str) -> None:
        self._reviews_s[request_id] = self._store.waited_s(request_id) + _REVIEW_S

    def _answer_s(self, request_id: str) -> float:
        self._timing.observe_answers(self._store.take_answer_seconds())
        return self._timing.answer_s(self._store.waited_s(request_id))

    def _judge(
        self,
        keys: Sequence[str],
        stored: Located,
        local_tokens: int,
        held_tokens: int,
        wait_s: float = 0.0,
    ) -> Match:
        """What could be loaded behind ``local_tokens``, and how much of it pays.

        Host memory alone reaches to ``held_tokens``.
        """
        hit_tokens = self.hits.longest(keys, stored, local_tokens)
        runs = self.hits.runs(keys, stored, local_tokens, hit_tokens)
        end_tokens = local_tokens + self._timing.worth(runs, local_tokens, wait_s)
        if end_tokens < hit_tokens:  # a load ends where every group has what continuing reads
            end_tokens = self.hits.longest(keys, stored, local_tokens, end_tokens)
        return Match(runs, end_tokens - local_tokens, held_tokens - local_tokens, judged=runs)
