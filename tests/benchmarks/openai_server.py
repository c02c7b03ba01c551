"""A stand-in for ``vllm serve``: it streams tokens when the test lets it, and counts."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class OpenAiServer:
    """On a thread and a port of its own, from enter to exit."""

    def __init__(self, status: int = 200) -> None:
        self.requests: list[dict[str, Any]] = []
        self.aborted = threading.Event()
        self._status = status
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> OpenAiServer:
        self._thread.start()
        self._up.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def counted(self, name: str) -> int:
        """Ten prompt tokens a request, of which four were found."""
        tokens = {"vllm:prompt_tokens_total": 10, "vllm:prefix_cache_hits_total": 4}
        return tokens.get(name, 0) * len(self.requests)

    async def _run(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application()
        app.router.add_post("/v1/completions", self._answer)
        app.router.add_post("/v1/chat/completions", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = "http://{}:{}".format(*runner.addresses[0])
        self._up.set()
        await self._over.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        if self._status != 200:
            return web.Response(status=self._status, text="no such thing")
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            async for choice in self._choices(body):
                line = json.dumps({"choices": [choice]})
                await response.write(f"data: {line}\n\n".encode())
        except ConnectionError:
            self.aborted.set()
            raise
        await response.write(b'data: {"choices": []}\n\ndata: [DONE]\n\n')
        return response

    async def _choices(self, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        for token in range(body["max_tokens"]):
            word = f"{token} "
            text = {"delta": {"content": word}} if "messages" in body else {"text": word}
            yield {**text, "token_ids": [token]}
            await asyncio.sleep(0.001)
