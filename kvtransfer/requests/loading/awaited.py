"""Waits for chunks that another engine is putting, as the caller of a request says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvtransfer.requests.step import EngineRequest


class Prefilled(Protocol):
    """Tells how many leading tokens of a request another engine has just computed; 0: none."""

    def __call__(self, request: EngineRequest) -> int: ...


def nothing_prefilled(request: EngineRequest) -> int:
    """Know of no other engine."""
    del request
    return 0


class Awaited:
    """Which requests wait for chunks on their way; for the scheduler's thread.

    Args:
        prefilled: what callers say; a wrong number costs a wait, nothing else.
        chunk_tokens: tokens of a chunk; a part of one is not put.
        longest_s: no request waits longer.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        prefilled: Prefilled,
        chunk_tokens: int,
        longest_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._prefilled = prefilled
        self._chunk_tokens = chunk_tokens
        self._longest_s = longest_s
        self._clock = clock
        self._since_s: dict[str, float] = {}
        """When each request was first found to lack chunks."""
        self._waiting: set[str] = set()

    @property
    def is_waiting(self) -> bool:
        """Whether any request waits."""
        return bool(self._waiting)

    def tokens(self, request: EngineRequest) -> int:
        """How many tokens of ``request`` have been put, or are about to be, in whole chunks."""
        return self._prefilled(request) // self._chunk_tokens * self._chunk_tokens

    def lacks(self, request_id: str, hit_tokens: int, expected_tokens: int) -> bool:
        """Whether to ask again, as only ``hit_tokens`` of ``expected_tokens`` are there."""
        self._waiting.discard(request_id)
        if hit_tokens >= expected_tokens:
            return False
        began_s = self._since_s.setdefault(request_id, self._clock())
        if self._clock() - began_s >= self._longest_s:
            return False
        self._waiting.add(request_id)
        return True

    def forget(self, request_id: str) -> None:
        """The request asks no more."""
        self._since_s.pop(request_id, None)
        self._waiting.discard(request_id)
