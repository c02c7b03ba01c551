"""Gives each request its keys, as soon as everything is known that they cover."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.requests.keys.weights import weights_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from kvtransfer.chunks.keys import KeyChain
    from kvtransfer.connector.vllm.keys.adapters import Adapters
    from kvtransfer.connector.vllm.keys.key_builder import KeySpace
    from kvtransfer.connector.vllm.keys.media import Media
    from kvtransfer.requests.keys.agreed_weights import AgreedWeights
    from kvtransfer.requests.request_state import Tracked


@dataclass(frozen=True)
class _Unnamed:
    tracked: Tracked
    contents: Future[list[str]] | None
    """Of its media."""

    @property
    def is_known(self) -> bool:
        adapter = self.tracked.adapter
        has_contents = self.contents is None or self.contents.done()
        return has_contents and (adapter is None or adapter.is_known)


class Naming:
    """For the scheduler's thread."""

    def __init__(
        self, key_space: KeySpace, weights: AgreedWeights, adapters: Adapters, media: Media
    ) -> None:
        self._key_space = key_space
        self._weights = weights
        self._adapters = adapters
        self._media = media
        self._unnamed: dict[str, _Unnamed] = {}
        self._sessions: dict[str, tuple[Tracked, int]] = {}
        """Requests that more input may join, and how many media they have so far."""

    def begin(self, tracked: Tracked) -> None:
        """A request has come, or computes anew: begin to find out what its keys cover."""
        request = tracked.request
        tracked.is_named = False
        self._adapters.ask(tracked)
        contents = self._media.begin(request.mm_features)
        self._unnamed[request.request_id] = _Unnamed(tracked, contents)
        if request.resumable:
            self._sessions[request.request_id] = (tracked, len(request.mm_features))

    def take(self, request_id: str | None = None) -> Iterator[Tracked]:
        """Requests of which all is known now; each has its chain, or none for good.

        Args:
            request_id: look at this one alone, which is soon done where many wait.
        """
        weights = self._weights.by_rank
        if weights is None:
            return
        for name in [request_id] if request_id is not None else list(self._unnamed):
            unnamed = self._unnamed.get(name)
            if unnamed is not None and unnamed.is_known:
                del self._unnamed[name]
                tracked = unnamed.tracked
                tracked.name(self._chain(unnamed, weights_name(weights)), weights)
                yield tracked

    def take_continued(self) -> Iterator[Tracked]:
        """Sessions whose keys don't tell their bytes any more, since more input has joined them.

        That is so once it brings media, or when vLLM has taken back what was computed.
        """
        for request_id, (tracked, media) in list(self._sessions.items()):
            request = tracked.request
            if len(request.mm_features) > media:
                self._media.forsake(request.mm_features[media:])
                self._sessions[request_id] = (tracked, len(request.mm_features))
                yield tracked
            elif request.num_computed_tokens < tracked.computed_tokens:
                yield tracked

    def forget(self, request_id: str) -> None:
        """The request is over."""
        self._unnamed.pop(request_id, None)
        self._sessions.pop(request_id, None)

    @property
    def is_waiting(self) -> bool:
        """Whether a request has no name yet."""
        return bool(self._unnamed)

    def _chain(self, unnamed: _Unnamed, weights: str | None) -> KeyChain | None:
        tracked = unnamed.tracked
        request, adapter = tracked.request, tracked.adapter
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
        return self._key_space.chain(request, weights, content, media)
