"""Reads answers over HTTP token by token, and notes when each token came."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

from benchmarks.vllm_serve import MODEL_NAME

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_LONGEST_LINE_BYTES = 1 << 20
"""The first one holds the prompt's token ids too."""


@dataclass
class Reply:
    """Holds what has come of an answer so far."""

    sent_s: float = field(default_factory=time.perf_counter)
    token_ids: list[int] = field(default_factory=list)
    token_s: list[float] = field(default_factory=list)
    """When each came, by the clock of ``sent_s``."""
    text: str = ""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ttft_s(self) -> float:
        """Seconds from sending the request to its first token."""
        return self.token_s[0] - self.sent_s

    def add(self, choice: dict[str, Any]) -> None:
        """Take in one event of the stream."""
        token_ids = choice.get("token_ids") or []
        self.token_ids += token_ids
        self.token_s += [time.perf_counter()] * len(token_ids)
        self.text += choice.get("text") or choice.get("delta", {}).get("content") or ""
        self._news.set()

    async def reaches(self, tokens: int) -> None:
        """Wait until the answer has at least ``tokens`` tokens."""
        while len(self.token_ids) < tokens:
            self._news.clear()
            await self._news.wait()


def session() -> aiohttp.ClientSession:
    """Open a session for any number of requests at once, without a timeout."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None),
        read_bufsize=_LONGEST_LINE_BYTES,
    )


async def complete(
    client: aiohttp.ClientSession, url: str, prompt_ids: list[int], answer_tokens: int, reply: Reply
) -> Reply:
    """The greedy continuation of ``prompt_ids``, into ``reply`` as it comes."""
    request = {"prompt": prompt_ids, "max_tokens": answer_tokens}
    async for choice in _choices(client, f"{url}/v1/completions", request):
        reply.add(choice)
    return reply


async def chat(
    client: aiohttp.ClientSession, url: str, messages: list[dict[str, str]], answer_tokens: int
) -> Reply:
    """The greedy answer to ``messages``."""
    reply = Reply()
    request = {"messages": messages, "max_tokens": answer_tokens}
    async for choice in _choices(client, f"{url}/v1/chat/completions", request):
        reply.add(choice)
    return reply


async def _choices(
    client: aiohttp.ClientSession, url: str, request: dict[str, Any]
) -> AsyncIterator[dict[str, Any]]:
    settings = {
        "model": MODEL_NAME,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "return_token_ids": True,
    }
    async with client.post(url, json={**settings, **request}) as response:
        if response.status != 200:
            raise RuntimeError(f"{response.status} from vllm serve: {await response.text()}")
        async for line in response.content:
            if line.startswith(b"data: {"):
                for choice in json.loads(line.removeprefix(b"data: "))["choices"]:
                    yield choice
