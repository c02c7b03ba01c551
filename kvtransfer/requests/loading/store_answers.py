"""What requests ask of the store, and the answers where there is no store."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from kvtransfer.scheduling.lookup.located import NOTHING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future

    from kvtransfer.scheduling.lookup.located import Located


class StoreAnswers(Protocol):
    """Which chunks the store holds, by request; :class:`kvtransfer.scheduling.lookup.lookup.Lookup`."""

    @property
    def tiers(self) -> tuple[str, ...]:
        """The names of the store's tiers, fastest first; none where there is no store."""

    @property
    def found(self) -> Mapping[str, str]:
        """A key that each tier was last seen to hold, by the tier's name."""

    @property
    def is_waiting(self) -> bool:
        """Whether any question is open."""

    def ask(self, request_id: str, keys: Sequence[str]) -> None:
        """Begin to find out about ``keys``; replaces what the request asked before."""

    def ask_when_known(self, request_id: str, keys: Future[Sequence[str]]) -> None:
        """Ask about ``keys`` once another thread has computed them."""

    def asked(self, request_id: str) -> bool:
        """Whether the request has asked and was not forgotten."""

    def answer(self, request_id: str) -> Located | None:
        """Which of the keys asked about the store holds, and where; None: not known yet."""

    def waited_s(self, request_id: str) -> float:
        """How long ago the request has asked."""

    def took_s(self, request_id: str) -> float:
        """How long the answer took, which is there."""

    def forget(self, request_id: str) -> None:
        """Drop what the request asked."""

    def take_answer_seconds(self) -> list[float]:
        """How long the latest answers took, since the last call."""

    def take_late(self) -> int:
        """How many answers were given up since the last call."""

    def close(self) -> None:
        """End the background work."""


class NoStore:
    """Answers every question at once: no chunk is there."""

    tiers: tuple[str, ...] = ()
    found: Mapping[str, str] = MappingProxyType({})
    is_waiting = False

    def ask(self, request_id: str, keys: Sequence[str]) -> None:
        """Nothing has to be found out."""

    def ask_when_known(self, request_id: str, keys: Future[Sequence[str]]) -> None:
        """Nothing has to be found out."""

    def asked(self, request_id: str) -> bool:
        """Every request counts as having asked."""
        return True

    def answer(self, request_id: str) -> Located | None:
        """Always nothing."""
        return NOTHING

    def waited_s(self, request_id: str) -> float:
        """Always zero."""
        return 0.0

    def took_s(self, request_id: str) -> float:
        """Always zero."""
        return 0.0

    def forget(self, request_id: str) -> None:
        """Nothing is remembered."""

    def take_answer_seconds(self) -> list[float]:
        """Always empty."""
        return []

    def take_late(self) -> int:
        """Always zero."""
        return 0

    def close(self) -> None:
        """Nothing runs in the background."""
