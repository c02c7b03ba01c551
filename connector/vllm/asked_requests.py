"""Reads what vLLM's requests ask of us, each once, and tells their callers what has come of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from kvtransfer.connector.asked import NAME, Asked, asked_of
from kvtransfer.errors import ConfigError
from kvtransfer.printable import printable
from kvtransfer.rare_log import RareLog

if TYPE_CHECKING:
    from vllm.v1.request import Request

    from kvtransfer.requests.control import Control
    from kvtransfer.requests.served import Served
    from kvtransfer.requests.step import EngineRequest


@dataclass(frozen=True)
class Heard:
    """What one request has said."""

    asked: Asked
    """The defaults where it said nothing, or what can't be read."""
    is_said: bool = False
    refusal: str | None = None
    """Why it can't be read."""


class AskedRequests:
    """Implements :class:`kvtransfer.requests.control.Controls` for vLLM.

    ``ttl_s`` is the setting, than which no request's chunks live longer.
    """

    def __init__(self, ttl_s: int | None = None) -> None:
        self._ttl_s = ttl_s
        self._heard: dict[str, Heard] = {}
        self._mistakes = RareLog()

    def of(self, request: EngineRequest) -> Control:
        """How the request is to be cached."""
        return self.heard(cast("Request", request)).asked.control

    def heard(self, request: Request) -> Heard:
        """What the request, which has not ended, has said."""
        heard = self._heard.get(request.request_id)
        if heard is None:
            heard = self._heard[request.request_id] = self._read(request)
        return heard

    def end(
        self, request: Request, served: Served, blend: dict[str, Any] | None
    ) -> dict[str, Any] | None:
        """The request is over; returns what its caller is told, if there is anything to tell.

        ``blend`` is told of passages.
        """
        heard = self.heard(request)
        del self._heard[request.request_id]
        told: dict[str, Any] = {} if blend is None else {"blend": blend}
        if heard.refusal is not None:
            told["refused"] = heard.refusal
        if heard.is_said:
            told |= _told(served)
        if heard.asked.ttl_s is not None:
            asked_s = heard.asked.ttl_s
            told["ttl_s"] = asked_s if self._ttl_s is None else min(asked_s, self._ttl_s)
        return {NAME: told} if told else None

    def _read(self, request: Request) -> Heard:
        params = (request.kv_transfer_params or {}).get(NAME)
        if params is None:
            return Heard(Asked())
        try:
            return Heard(asked_of(params), is_said=True)
        except ConfigError as error:
            refusal = printable(str(error))
            self._mistakes.warn(f"{refusal}; the request is served as if it had said nothing")
            return Heard(Asked(), is_said=True, refusal=refusal)


def _told(served: Served) -> dict[str, Any]:
    loaded_from = {} if served.has_failed else dict(served.loaded_from)
    return {
        "loaded_tokens": sum(loaded_from.values()),
        "loaded_from": loaded_from,
        "load_failed": served.has_failed,
        "saved_tokens": served.saved_tokens,
    }
