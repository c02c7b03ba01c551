"""Tells the next engine how much of a prompt is on its way to the store, where a router asks for that.

A router that keeps prefill apart from decode says ``do_remote_decode`` to the engine that prefills,
and hands what that engine answers to the one that decodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vllm.v1.request import Request

_NAME, _TOKENS = "kvtransfer", "prefilled_tokens"


def with_prefilled(request: Request, said: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what the caller of a finished request gets: ``said``, or how long the prompt was.

    Not both: a router hands on all of it as what the next engine is asked for.
    """
    if (request.kv_transfer_params or {}).get("do_remote_decode") is not True:
        return said
    return {_NAME: {_TOKENS: request.num_prompt_tokens}}


def prefilled_tokens(request: Any) -> int:
    """Read what another engine has told of vLLM's ``request``; 0 where that is no number."""
    ours = (request.kv_transfer_params or {}).get(_NAME)
    tokens = ours.get(_TOKENS) if isinstance(ours, dict) else None
    return tokens if type(tokens) is int and tokens > 0 else 0
