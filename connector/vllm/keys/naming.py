"""Builds a request's key chain once the weights, its adapter and its media are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.connector.vllm.keys.adapters import is_mixed
from kvtransfer.requests.keys.weights import weights_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from vllm.v1.request import Request

    from kvtransfer.chunks.keys import KeyChain
    from kvtransfer.connector.vllm.keys.adapters import Adapters
    from kvtransfer.connector.vllm.keys.key_builder import KeyBuilder
    from kvtransfer.connector.vllm.keys.media import Media
    from kvtransfer.requests.keys.agreed_weights import AgreedWeights
    from kvtransfer.requests.request_state import RequestState


@dataclass(frozen=True)
class _Unnamed:
    state: RequestState
    contents: Future[list[str]] | None
    """The digests of its media, still being computed; None: there are none to compute."""

    @property
    def is_known(self) -> bool:
        adapter = self.state.adapter
        has_contents = self.contents is None or self.contents.done()
        return has_contents and (adapter is None or adapter.is_known)


class Naming:
    """Implements :class:`kvtransfer.requests.keys.request_keys.RequestKeys` for vLLM."""

    def __init__(
        self, key_builder: KeyBuilder, weights: AgreedWeights, adapters: Adapters, media: Media
    ) -> None:
        self._key_builder = key_builder
        self._weights = weights
        self._adapters = adapters
        self._media = media
        self._ambiguous = media.ambiguous
        """How many identifiers of media were ambiguous when all requests were last looked at."""
        self._unnamed: dict[str, _Unnamed] = {}
        self._sessions: dict[str, tuple[RequestState, int]] = {}
        """Requests that may get more input, and how many media each has so far."""

    def begin(self, state: RequestState) -> None:
        """Begin to find out what the keys of a new or restarted request cover."""
        request: Request = state.request
        state.is_named = False
        self._adapters.ask(state)
        contents = self._media.begin(request.mm_features)
        self._unnamed[request.request_id] = _Unnamed(state, contents)
        if request.resumable:
            self._sessions[request.request_id] = (state, len(request.mm_features))

    def take(self, request_id: str | None = None) -> Iterator[RequestState]:
        """Yield the requests whose keys are settled now: each gets its chain, or never has one.

        Args:
            request_id: look at this request only, which is fast however many others wait.
        """
        weights = self._weights.by_rank
        if weights is None:
            return
        for name in [request_id] if request_id is not None else list(self._unnamed):
            unnamed = self._unnamed.get(name)
            if unnamed is not None and unnamed.is_known:
                del self._unnamed[name]
                state = unnamed.state
                state.name(self._chain(unnamed, weights_name(weights)), weights)
                yield state

    def take_continued(self) -> Iterator[RequestState]:
        """Yield the sessions whose keys are no longer right, since they have got more input.

        That is so if the input has media, or if vLLM has dropped some of the computed tokens.
        """
        for request_id, (state, media) in list(self._sessions.items()):
            request: Request = state.request
            if len(request.mm_features) > media:
                self._media.forsake(request.mm_features[media:])
                self._sessions[request_id] = (state, len(request.mm_features))
                yield state
            elif request.num_computed_tokens < state.computed_tokens:
                yield state

    def take_ambiguous(self, states: Iterable[RequestState]) -> Iterator[RequestState]:
        """Yield those of ``states`` with a medium whose identifier is ambiguous.

        Later calls yield nothing until another identifier has become ambiguous.
        """
        if self._media.ambiguous == self._ambiguous:
            return
        self._ambiguous = self._media.ambiguous
        for state in states:
            request: Request = state.request
            if self._media.are_ambiguous(request.mm_features):
                yield state

    def may_mix(self, state: RequestState) -> bool:
        """Say whether vLLM's caches may serve it what another medium or adapter content computed."""
        request: Request = state.request
        return self._media.are_ambiguous(request.mm_features) or is_mixed(state)

    def forget(self, request_id: str) -> None:
        """Drop what is known of a request that is over."""
        self._unnamed.pop(request_id, None)
        self._sessions.pop(request_id, None)

    def close(self) -> None:
        """End the thread that hashes media."""
        self._media.close()

    @property
    def is_waiting(self) -> bool:
        """Whether a request's keys are not settled yet."""
        return bool(self._unnamed)

    def _chain(self, unnamed: _Unnamed, weights: str | None) -> KeyChain | None:
        request: Request = unnamed.state.request
        adapter = unnamed.state.adapter
        content = adapter.held.digest if adapter is not None and adapter.held is not None else None
        media = self._media.name(request.mm_features, unnamed.contents, content)
        if request.prompt_embeds is not None or request.skip_reading_prefix_cache:
            return None
        if weights is None:
            return None
        if media is None or (adapter is not None and content is None):
            return None
        if adapter is None and self._adapters.spoil_others:
            return None
        return self._key_builder.chain(request, weights, content, media)
