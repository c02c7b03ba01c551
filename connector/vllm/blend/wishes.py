"""Reads from vLLM's requests whether and how they are to be blended."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kvtransfer.passages.recompute import First, Share
from kvtransfer.passages.segments import checked_segments
from kvtransfer.requests.blending.outcome import Outcome
from kvtransfer.requests.blending.wish import Wish

if TYPE_CHECKING:
    from typing import Self

    from vllm.v1.request import Request

    from kvtransfer.requests.request_state import RequestState

_NAME = "kvtransfer"


class Asked(BaseModel):
    """What a request may say in ``kv_transfer_params["kvtransfer"]``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    blend: bool | None = None
    """Whether to reuse passages; None: as the setting ``blend`` says."""
    first: Annotated[int, Field(ge=0)] | None = None
    """Tokens at the begin of each passage that are computed anew."""
    share: Annotated[float, Field(ge=0, le=1)] | None = None
    """The same as a part of each passage."""
    segments: list[list[int]] | None = None
    """The passages of the prompt, if they are known."""
    prefilled_tokens: int | None = None
    """Tokens that another engine has just computed; blending doesn't read it."""

    @model_validator(mode="after")
    def _says_one(self) -> Self:
        if self.first is not None and self.share is not None:
            raise ValueError("pass first or share, not both")
        return self


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
    """

    def __init__(self, setting: str, refusal: str | None) -> None:
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

    def end(self, request: Request, outcome: Outcome | None) -> dict[str, Any] | None:
        """The request is over; returns what its caller is told of blending, if it asked for it."""
        read = self._of(request)
        del self._read[request.request_id]
        if read.refusal is not None:
            return {_NAME: {"blend": {"refused": read.refusal}}}
        if read.wish is None:
            return None
        return {_NAME: {"blend": asdict(Outcome() if outcome is None else outcome)}}

    def _of(self, request: Request) -> _Read:
        read = self._read.get(request.request_id)
        if read is None:
            read = self._read[request.request_id] = self._reads(request)
        return read

    def _reads(self, request: Request) -> _Read:
        params = (request.kv_transfer_params or {}).get(_NAME)
        if params is None and self._setting != "all":
            return _Read()
        try:
            asked = Asked.model_validate({} if params is None else params)
            wish = _wish(asked, request)
        except (ValidationError, ValueError) as error:
            return _Read(refusal=_sentence(params, error))
        wanted = self._setting == "all" if asked.blend is None else asked.blend
        if not wanted:
            return _Read()
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


def _sentence(params: object, error: ValueError) -> str:
    said = f"kv_transfer_params[{_NAME!r}]"
    if not isinstance(error, ValidationError):
        return f"{said}: {error}"
    first = error.errors()[0]
    where = "".join(f"[{part!r}]" for part in first["loc"])
    return f"{said}{where} is {first['input']!r}: {first['msg']}"
