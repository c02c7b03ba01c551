"""What only an engine's connector can tell: what a request's keys cover besides its tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kvtransfer.requests.request_state import RequestState


class RequestKeys(Protocol):
    """Builds the key chains of an engine's requests; for the scheduler's thread."""

    @property
    def is_waiting(self) -> bool:
        """Whether a request has no chain yet because something is not known."""

    def begin(self, state: RequestState) -> None:
        """A request has come, or computes anew: begin to find out what its keys cover."""

    def take(self, request_id: str | None = None) -> Iterator[RequestState]:
        """Name each request of which all is known now: it has a chain, or none for good.

        Args:
            request_id: look at this one alone, which is cheap where many wait.
        """

    def take_continued(self) -> Iterator[RequestState]:
        """Requests whose keys no longer tell their bytes since more input has joined them."""

    def take_ambiguous(self, states: Iterable[RequestState]) -> Iterator[RequestState]:
        """The ``states`` whose input was found, since the last call, to have two contents."""

    def may_mix(self, state: RequestState) -> bool:
        """Whether the engine's own caches may serve the request what another content computed."""

    def forget(self, request_id: str) -> None:
        """The request is over."""

    def close(self) -> None:
        """End the background work."""
