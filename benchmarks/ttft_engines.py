"""Starts vLLM processes that answer the same prompt with its context in different places."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from redis import Redis

from demo.engine import Job, Setup, kvtransfer_config
from demo.process import EngineProcess

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import ExitStack
    from pathlib import Path

    from demo.engine import Answer

CHUNK_TOKENS = 256
BYTES_PER_TOKEN = 2 * 30 * 3 * 64 * 4  # K and V, layers, heads, dim, fp32 of SmolLM2-135M

_ANSWER_TOKENS = 8
_STORED_S = 60.0
# A worker of vLLM keeps a core busy for a second after its last step, in case there is another.
_REST_S = 1.5
# As deployed: scheduler and worker in a process of their own.
_ENVIRONMENT = {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}


class NotAsPlanned(Exception):
    """An answer that came about in another way than the one to be timed."""


@dataclass(frozen=True)
class Prompt:
    """A context of whole chunks, then a question."""

    token_ids: list[int]
    context_tokens: int

    @property
    def job(self) -> Job:
        return Job(self.token_ids, _ANSWER_TOKENS)

    @property
    def context_bytes(self) -> int:
        return self.context_tokens * BYTES_PER_TOKEN


class Contestant(Protocol):
    def answers(self, prompt: Prompt) -> dict[str, Answer]:
        """The answers to ``prompt``, timed one at a time; no prompt twice."""
        ...


@dataclass(frozen=True)
class Place:
    """Where and how engines are started; ``running`` ends them."""

    running: ExitStack
    model: Path
    logs: Path
    block_tokens: int

    def start(self, name: str, transfer: dict | None, environment: dict[str, str]) -> EngineProcess:
        setup = Setup(str(self.model), transfer, self.block_tokens)
        log = self.logs / f"{name}-{self.block_tokens}.log"
        return self.running.enter_context(
            EngineProcess(setup, log, {**_ENVIRONMENT, **environment})
        )


class Plain:
    """vLLM without kvtransfer."""

    def __init__(self, place: Place) -> None:
        self._engine = place.start("plain", None, {})
        self._engine.wait_until_up()

    def answers(self, prompt: Prompt) -> dict[str, Answer]:
        answer = self._engine.answer(prompt.job)
        rest()
        check(answer, "cold", restored_tokens=0, local_tokens=0)
        return {"cold": answer}


class Ours:
    """Two processes with kvtransfer: one that saves to ``redis_url``, one that restores.

    Args:
        place: starts them.
        redis_url: of a server of their own.
        prefix: comes before the names of the answers.
        environment: of the processes, besides.
        reader_url: how the second process reaches the server; None: as the first.
    """

    def __init__(
        self,
        place: Place,
        redis_url: str,
        prefix: str = "",
        environment: Mapping[str, str] | None = None,
        *,
        reader_url: str | None = None,
    ) -> None:
        self._prefix = prefix
        self._is_exact = "KVTRANSFER_REMOTE_SERDE" not in (environment or {})
        urls = {"writer": redis_url, "reader": reader_url or redis_url}
        engines = [
            place.start(
                prefix.replace("/", "-") + name,
                kvtransfer_config(),
                {"KVTRANSFER_REMOTE_URL": url, **(environment or {})},
            )
            for name, url in urls.items()
        ]
        for engine in engines:
            engine.wait_until_up()
        self._writer, self._reader = engines
        self._redis = place.running.enter_context(Redis.from_url(redis_url))

    def answers(self, prompt: Prompt) -> dict[str, Answer]:
        """One answer for each place of the context, in turn; no prompt twice."""
        keys = self._redis.dbsize() + 2 * (prompt.context_tokens // CHUNK_TOKENS)
        forgetful = replace(prompt.job, forget_local=True)
        found = {"cold+save": self._writer.answer(prompt.job)}
        wait_for_keys(self._redis, keys)
        rest()
        found["redis"] = self._reader.answer(prompt.job)
        found["host"] = self._reader.answer(forgetful)
        found["local_hit"] = self._reader.answer(prompt.job)
        self._check(prompt, found)
        rest()
        return {self._prefix + name: answer for name, answer in found.items()}

    def _check(self, prompt: Prompt, found: dict[str, Answer]) -> None:
        context, size = prompt.context_tokens, prompt.context_bytes
        check(found["cold+save"], "cold+save", restored_tokens=0, local_tokens=0)
        check(found["redis"], "redis", restored_tokens=context)
        if self._is_exact:
            check(found["redis"], "redis", fetched_bytes=size)
        check(found["host"], "host", restored_tokens=context, fetched_bytes=0)
        check(found["local_hit"], "local_hit", restored_tokens=0, local_tokens=context)


def rest() -> None:
    """Until no engine that has answered takes a core from the next one."""
    time.sleep(_REST_S)


def check(answer: Answer, place: str, **expected: int) -> None:
    """Raises NotAsPlanned unless each field of ``answer`` is as expected."""
    for name, amount in expected.items():
        if getattr(answer, name) != amount:
            raise NotAsPlanned(f"{place}: {name} is {getattr(answer, name)}, not {amount}")


def check_alike(found: dict[str, Answer]) -> None:
    """Raises NotAsPlanned unless all answers are the same, token by token."""
    if len({tuple(answer.token_ids) for answer in found.values()}) > 1:
        said = {place: answer.token_ids for place, answer in found.items()}
        raise NotAsPlanned(f"one prompt, different answers: {said}")


def wait_for_keys(redis: Redis, count: int) -> None:
    """Until the database holds ``count`` keys: saves go on after the answer."""
    deadline_s = time.monotonic() + _STORED_S
    while (held := redis.dbsize()) < count:
        if time.monotonic() > deadline_s:
            raise NotAsPlanned(f"Redis holds {held} keys after {_STORED_S} s, not {count}")
        time.sleep(0.02)
