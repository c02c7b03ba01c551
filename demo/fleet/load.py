"""Holds conversations with the fleet, several at once, and notes what its users see."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from itertools import cycle
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

from demo.fleet.vllm import MODEL_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from threading import Event

    from demo.fleet.conversations import Turn

AT_ONCE = 4
_ANSWER_S = 300


@dataclass(frozen=True)
class Reply:
    """What one request brought its user."""

    is_answered: bool
    """Whether the router returned an answer at all."""
    is_right: bool
    """Whether the answer is the one of a vLLM without a cache."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Tokens of the prompt that were not computed: from vLLM's own cache, or restored."""


@dataclass(frozen=True)
class Client:
    """Asks the router, or the engine, at ``url`` for greedy answers of at most ``answer_tokens`` tokens."""

    url: str
    answer_tokens: int
    model_name: str = MODEL_NAME

    def ask(self, turn: Turn) -> Reply:
        """Ask once, without a retry of our own."""
        message = {
            "model": self.model_name,
            "prompt": list(turn.prompt_ids),
            "max_tokens": self.answer_tokens,
            "temperature": 0,
        }
        headers = {"Content-Type": "application/json"}
        request = Request(f"{self.url}/v1/completions", json.dumps(message).encode(), headers)
        try:
            with urlopen(request, timeout=_ANSWER_S) as reply:
                said = json.load(reply)
        except (OSError, HTTPException, ValueError):  # urllib's errors are OSErrors
            return Reply(is_answered=False, is_right=False)
        return read_reply(said, turn.answer)


def read_reply(said: dict[str, Any], right: str) -> Reply:
    """Read a response of the completions API; ``right`` is the answer that it should hold."""
    usage = said["usage"]
    details = usage.get("prompt_tokens_details") or {}
    return Reply(
        is_answered=True,
        is_right=said["choices"][0]["text"].strip() == right,
        prompt_tokens=usage["prompt_tokens"],
        cached_tokens=details.get("cached_tokens") or 0,
    )


def hold(client: Client, conversations: Iterable[Sequence[Turn]]) -> list[Reply]:
    """Hold all ``conversations``, ``AT_ONCE`` of them at once, each turn after the one before."""
    waiting, lock = iter(conversations), Lock()

    def converse() -> list[Reply]:
        replies: list[Reply] = []
        while True:
            with lock:
                turns = next(waiting, None)
            if turns is None:
                return replies
            replies += [client.ask(turn) for turn in turns]

    with ThreadPoolExecutor(AT_ONCE) as threads:
        held = [threads.submit(converse) for _ in range(AT_ONCE)]
    return [reply for each in held for reply in each.result()]


def again_until(event: Event, conversations: Sequence[Sequence[Turn]]) -> Iterator[Sequence[Turn]]:
    """Yield ``conversations``, again and again, until ``event`` is set."""
    for turns in cycle(conversations):
        if event.is_set():
            return
        yield turns
