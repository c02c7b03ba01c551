"""Starts vLLM processes that answer a prompt whose passages were seen at other places."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from redis import Redis

from benchmarks.ttft_engines import BYTES_PER_TOKEN, NotAsPlanned, check
from demo.engine import Job, kvtransfer_config
from kvtransfer.stores.embedded.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.blend_prompts import Pair
    from benchmarks.ttft_engines import Place
    from demo.engine import Answer
    from demo.process import EngineProcess

POLICIES: dict[str, dict[str, Any]] = {
    "first16": {"first": 16},
    "share10": {"share": 0.1},
    "share15": {"share": 0.15},
    "share20": {"share": 0.2},
}
"""What is computed anew of each passage that is reused."""
TIERS = ("host", "redis-own", "redis")

_STORED_S = 60.0
_LEARNED_S = 30.0
_SETTLED_S = 0.3
# What was blended for long prompts is evicted: the least recently used first.
_STORE_BYTES = 2 << 30
# Scheduler and worker in one process, whose CPU seconds are told.
_ENVIRONMENT = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
_COMMON: dict[str, Any] = {
    "load_margin": 1e9,  # what a blend costs is measured here, not when it is taken
    "eviction_policy": "lru",
}
_KEEPS = {"max_local_cpu_size": 1.0}
_PASSES = {"max_local_cpu_size": 0.5, "local_cpu": False}


class Plain:
    """vLLM without kvtransfer."""

    def __init__(self, place: Place) -> None:
        self._engine = place.start("plain", None, _ENVIRONMENT)
        self._engine.wait_until_up()

    def answers(self, pair: Pair) -> dict[str, Answer]:
        """The answer to what is asked, computed whole."""
        answer = self._engine.answer(job(pair))
        check(answer, "cold", restored_tokens=0, local_tokens=0)
        return {"cold": answer}


class Blending:
    """Processes with kvtransfer: one that saves what was seen, and one that blends.

    Args:
        place: starts them.
        tier: one of ``TIERS``, where the passages come from: ``host``, the host memory of the
            process that saw them; ``redis-own``, a server that this process saved them to, which
            keeps nothing itself; ``redis``, a server that another process saved them to.
        short_ids: a prompt that touches no chunk.
    """

    def __init__(self, place: Place, tier: str, short_ids: list[int]) -> None:
        self._tier = tier
        self._short = Job(short_ids, answer_tokens=2)
        self._redis: Redis | None = None
        url = None
        if tier != "host":
            url = place.running.enter_context(EmbeddedServer(_STORE_BYTES)).url
            self._redis = place.running.enter_context(Redis.from_url(url))
        settings = _KEEPS if tier == "host" else _PASSES
        self._reader = self._writer = _start(place, f"{tier}-reader", settings, url)
        if tier == "redis":
            self._writer = _start(place, f"{tier}-writer", _PASSES, url)
        for engine in (self._reader, self._writer):
            engine.wait_until_up()

    def answers(self, pair: Pair) -> dict[str, Answer]:
        """By policy, ``cold+save`` and ``exact_hit``, each behind the tier; no pair twice."""
        self._save(self._writer, Job(pair.seen_ids, answer_tokens=1, forget_local=True), pair)
        if self._writer is not self._reader:
            self._wait_until_learned(pair)
        found = {name: self._blended(pair, wish) for name, wish in POLICIES.items()}
        # What was blended is saved nowhere: this computes it whole.
        found["cold+save"] = self._save(self._reader, job(pair), pair)
        found["exact_hit"] = self._reader.answer(job(pair))
        check(found["exact_hit"], "exact_hit", restored_tokens=pair.context_tokens)
        return {f"{self._tier}/{name}": answer for name, answer in found.items()}

    def _blended(self, pair: Pair, wish: Mapping[str, Any]) -> Answer:
        answer = self._reader.answer(replace(job(pair), blend={"blend": True, **wish}))
        told = answer.blend or {}
        is_as_planned = (
            told.get("reused_tokens", 0) >= pair.context_tokens // 2
            and not told["has_failed"]
            and (answer.fetched_bytes > 0) == (self._tier != "host")
        )
        if not is_as_planned:
            raise NotAsPlanned(f"{self._tier}, {dict(wish)}: {answer.fetched_bytes} B, {told}")
        return answer

    def _save(self, engine: EngineProcess, asked: Job, pair: Pair) -> Answer:
        """Have ``engine`` compute all of a prompt, until its context is saved."""
        received = self._received_bytes()
        answer = engine.answer(asked)
        check(answer, "cold+save", restored_tokens=0, local_tokens=0)
        engine.answer(self._short)  # a further step ends what the last one has begun
        time.sleep(_SETTLED_S)
        engine.answer(self._short)
        self._wait_until_received(received + pair.context_tokens * BYTES_PER_TOKEN)
        return answer

    def _received_bytes(self) -> int:
        if self._redis is None:
            return 0
        return int(self._redis.info("stats")["total_net_input_bytes"])

    def _wait_until_received(self, amount: int) -> None:
        deadline_s = time.monotonic() + _STORED_S
        while self._redis is not None and self._received_bytes() < amount:
            if time.monotonic() > deadline_s:
                raise NotAsPlanned(f"{self._tier}: not saved within {_STORED_S:.0f} s")
            time.sleep(0.05)

    def _wait_until_learned(self, pair: Pair) -> None:
        """Until the process that blends knows what the other one has saved."""
        deadline_s = time.monotonic() + _LEARNED_S
        asked = replace(job(pair), blend={"blend": True})
        while not ((self._reader.answer(asked).blend or {}).get("reused_tokens")):
            if time.monotonic() > deadline_s:
                raise NotAsPlanned(
                    "one process doesn't blend what another one has saved: leave out --tiers redis"
                )
            self._reader.answer(self._short)


def job(pair: Pair) -> Job:
    """Return what asks for the first token, with nothing in vLLM's own prefix cache."""
    return Job(pair.asked_ids, answer_tokens=1, forget_local=True)


def _start(place: Place, name: str, settings: Mapping[str, Any], url: str | None) -> EngineProcess:
    transfer = kvtransfer_config()
    transfer["kv_connector_extra_config"] = {**_COMMON, **settings}
    store = {} if url is None else {"KVTRANSFER_REMOTE_URL": url}
    return place.start(name, transfer, {**_ENVIRONMENT, **store})
