"""Reads from vLLM's requests whether and how they are to be blended."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kvtransfer.connector.asked import NAME
from kvtransfer.connector.vllm.asked_requests import AskedRequests
from kvtransfer.passages.recompute import First, Share
from kvtransfer.passages.segments import checked_segments
from kvtransfer.requests.blending.outcome import Outcome
from kvtransfer.requests.blending.wish import Wish

if TYPE_CHECKING:
    from vllm.v1.request import Request

    from kvtransfer.connector.asked import Asked
    from kvtransfer.requests.request_state import RequestState
    from kvtransfer.requests.served import Served


@dataclass
class _Read:
    """What was found out about one request."""

    wish: Wish | None = None
    refusal: str | None = None
    """Why a request that asked for it is not blended."""


class RequestWishes:
    """Implements :class:`kvtransfer.requests.blending.wish.Wishes` for vLLM.

    Args:
        setting: ``opt_in``, ``all`` or ``off``, as of the setting ``blend``.
        refusal: why no request of this engine can be blended; None: it can.
        ttl_s: the setting of that name.
    """

    def __init__(self, setting: str, refusal: str | None, ttl_s: int | None = None) -> None:
        self.asked = AskedRequests(ttl_s)
        """What requests say, of passages and beside them."""
        self._setting = setting
        self._refusal = "the setting blend is off" if setting == "off" else refusal
        self._read: dict[str, _Read] = {}

    @property
    def are_possible(self) -> bool:
        """Whether any request may be blended."""
        return self._refusal is None

    def refuse(self, reason: str) -> None:
        """No request can be blended from now on."""
        self._refusal = self._refusal or reason
        self._read.clear()

    def of(self, state: RequestState) -> Wish | None:
        """The request's wish; None: it isn't to be blended, or can't be."""
        request: Request = state.request
        return self._of(request).wish

    def end(self, request: Request, served: Served) -> dict[str, Any] | None:
        """The request is over; returns what its caller is told, if it asked for anything."""
        read = self._of(request)
        del self._read[request.request_id]
        told: dict[str, Any] | None = None
        if read.refusal is not None:
            told = {"refused": read.refusal}
        elif read.wish is not None:
            told = asdict(served.blended or Outcome())
        return self.asked.end(request, served, told)

    def _of(self, request: Request) -> _Read:
        read = self._read.get(request.request_id)
        if read is None:
            read = self._read[request.request_id] = self._reads(request)
        return read

    def _reads(self, request: Request) -> _Read:
        asked = self.asked.heard(request).asked
        wanted = self._setting == "all" if asked.blend is None else asked.blend
        if not (wanted and asked.may_blend):
            return _Read()
        try:
            wish = _wish(asked, request)
        except ValueError as error:
            return _Read(refusal=f"kv_transfer_params[{NAME!r}]: {error}")
        refusal = self._refusal or _refusal(request)
        return _Read(refusal=refusal) if refusal else _Read(wish)


def _wish(asked: Asked, request: Request) -> Wish:
    segments = asked.segments
    if segments is not None:
        checked_segments(segments, request.num_prompt_tokens)
    if asked.share is not None:
        return Wish(Share(asked.share), segments)
    return Wish(First() if asked.first is None else First(asked.first), segments)


def _refusal(request: Request) -> str | None:
    reasons: dict[str, Any] = {
        "it has a LoRA adapter": request.lora_request,
        "it has images or other media": request.mm_features,
        "its prompt is given as embeddings": request.prompt_embeds is not None,
        "more input may join it": request.resumable,
        "it must not read caches, as where it asks for prompt_logprobs": (
            request.skip_reading_prefix_cache
        ),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)
