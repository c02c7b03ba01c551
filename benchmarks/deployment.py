"""Sends a load to two vLLM servers behind a round robin, and records what it sees."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING

from benchmarks.streamed import chat, session
from benchmarks.vllm_serve import GAP_TOKENS, LOCAL_TOKENS, PROMPT_TOKENS, RESTORED_TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import aiohttp

    from benchmarks.loads import Conversation
    from benchmarks.streamed import Reply
    from benchmarks.vllm_serve import VllmServe

ANSWER_TOKENS = 12


@dataclass(frozen=True)
class Counts:
    """Of prompt tokens, over all servers."""

    prompt_tokens: int
    local_tokens: int
    restored_tokens: int
    gap_tokens: int = 0
    """Tokens that vLLM counts as restored, but which were computed between blended passages."""

    def since(self, earlier: Counts) -> Counts:
        return Counts(
            self.prompt_tokens - earlier.prompt_tokens,
            self.local_tokens - earlier.local_tokens,
            self.restored_tokens - earlier.restored_tokens,
            self.gap_tokens - earlier.gap_tokens,
        )

    @property
    def hit_rate(self) -> float:
        """The share of prompt tokens that were not computed."""
        reused = self.local_tokens + self.restored_tokens - self.gap_tokens
        return reused / self.prompt_tokens


@dataclass(frozen=True)
class Served:
    """Holds the outcome of a load."""

    ttft_s: list[float]
    requests_per_s: float
    """From the first request to the last answer."""
    answers: list[list[int]]
    counts: Counts


class Deployment:
    """Sends each request to the next of ``servers``: a round robin, blind to what each has cached."""

    def __init__(self, servers: Sequence[VllmServe]) -> None:
        self._servers = servers
        self._next_url: Iterator[str] = cycle(server.url for server in servers)

    def serve(self, load: Sequence[Conversation]) -> Served:
        """Run ``load`` to its end, in real time."""
        before = self._counts()
        replies = asyncio.run(self._serve(load))
        took_s = max(reply.token_s[-1] for reply in replies) - min(r.sent_s for r in replies)
        return Served(
            [reply.ttft_s for reply in replies],
            len(replies) / took_s,
            [reply.token_ids for reply in replies],
            self._counts().since(before),
        )

    async def _serve(self, load: Sequence[Conversation]) -> list[Reply]:
        begin_s = time.perf_counter()
        async with session() as client, asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._converse(client, begin_s, one)) for one in load]
        return [reply for task in tasks for reply in task.result()]

    async def _converse(
        self, client: aiohttp.ClientSession, begin_s: float, conversation: Conversation
    ) -> list[Reply]:
        await asyncio.sleep(begin_s + conversation.starts_s - time.perf_counter())
        messages = [{"role": "system", "content": conversation.system}]
        replies = []
        for words, thinks_s in zip(conversation.says, (*conversation.thinks_s, 0.0), strict=True):
            messages.append({"role": "user", "content": words})
            reply = await chat(client, next(self._next_url), messages, ANSWER_TOKENS)
            messages.append({"role": "assistant", "content": reply.text})
            replies.append(reply)
            await asyncio.sleep(thinks_s)
        return replies

    def _counts(self) -> Counts:
        names = (PROMPT_TOKENS, LOCAL_TOKENS, RESTORED_TOKENS, GAP_TOKENS)
        return Counts(*(sum(s.counted(name) for s in self._servers) for name in names))
