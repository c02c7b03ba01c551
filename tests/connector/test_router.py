"""Prefill apart from decode behind vllm-router, as the recipes' page starts it: two ranks, then one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import openai
import pytest

from benchmarks.vllm_serve import free_port
from tests.connector.engine_process import Request
from tests.connector.engines import start_together
from tests.connector.http_server import HttpServer
from tests.connector.inputs import CHUNK_TOKENS, connected, prompt
from tests.connector.recipes import commands, option

pytestmark = pytest.mark.vllm

START_S = 60
PROMPTS = [prompt(tokens, seed=tokens) for tokens in (600, 330, 90)]
ANSWER_TOKENS = 24


@dataclass(frozen=True)
class Apart:
    producer: HttpServer
    consumer: HttpServer
    router_url: str

    def answers(self):
        """What the router's users get, one after the other."""
        with openai.OpenAI(base_url=self.router_url, api_key="none", timeout=120) as client:
            return [self._answer(client, token_ids) for token_ids in PROMPTS]

    def restored_tokens(self):
        """Prompt tokens that the consumer has not computed, by vLLM's count."""
        return self.consumer.metric("vllm:external_prefix_cache_hits_total")

    def from_store(self):
        """Those that came from the store, by ours."""
        return self.consumer.metric("kvtransfer:store_hit_tokens_total")

    def _answer(self, client, token_ids):
        reply = client.completions.create(
            model="tiny",
            prompt=token_ids,
            temperature=0,
            max_tokens=ANSWER_TOKENS,
            extra_body={"return_token_ids": True, "ignore_eos": True},
        )
        return reply.choices[0].token_ids


@contextmanager
def apart(model, server, folder):
    """The page's two instances and its router."""
    of_producer, of_consumer = commands("vllm serve")[3:]
    producer, consumer = start_together(
        lambda: HttpServer(setup(model, server, of_producer), folder / "producer.log"),
        lambda: HttpServer(setup(model, server, of_consumer), folder / "consumer.log"),
    )
    with producer, consumer, router(producer, consumer, folder / "router.log") as url:
        yield Apart(producer, consumer, url)


def setup(model, server, arguments):
    """What the page's command starts, with chunks as small as the tests' model."""
    transfer = json.loads(option(arguments, "--kv-transfer-config"))
    ranks = int(option(arguments, "--tensor-parallel-size"))
    return connected(
        model,
        server.url,
        role=transfer["kv_role"],
        options={"tensor_parallel_size": ranks},
        lookup_timeout_ms=60_000,  # a busy machine puts late
        **transfer["kv_connector_extra_config"],
    )


@contextmanager
def router(producer, consumer, log):
    """The page's vllm-router; yields the URL of its OpenAI-compatible part."""
    (arguments,) = commands("vllm-router ")
    port = free_port()
    ours = {
        "http://HOST:8001": producer.url.removesuffix("/v1"),
        "http://HOST:8002": consumer.url.removesuffix("/v1"),
        "0.0.0.0": "127.0.0.1",
        "8000": str(port),
    }
    program = Path(sys.executable).with_name("vllm-router")
    more = ("--prometheus-port", str(free_port()), "--worker-startup-check-interval", "1")
    with log.open("wb") as words:
        process = subprocess.Popen(
            [program, *(ours.get(part, part) for part in arguments), *more],
            stdout=words,
            stderr=subprocess.STDOUT,
        )
    try:
        await_router(process, port)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def await_router(process, port):
    deadline_s = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline_s:
        try:
            with urlopen(f"http://127.0.0.1:{port}/health", timeout=10):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise AssertionError("the page's router does not come up")


def test_two_ranks_prefill_and_one_decodes_behind_a_router(model, server, entries, plain, tmp_path):
    right = plain.generate(*(Request(ids, ANSWER_TOKENS) for ids in PROMPTS)).answers
    whole = sum(len(token_ids) // CHUNK_TOKENS for token_ids in PROMPTS)
    with apart(model, server, tmp_path) as split:
        assert split.answers() == right
        # Each was asked for as soon as it was computed, and waited for where it had not been put.
        assert split.restored_tokens() == split.from_store() == whole * CHUNK_TOKENS
        assert len(entries.keys()) == 2 * whole  # one for each rank
        assert split.producer.metric("vllm:external_prefix_cache_hits_total") == 0
        split.consumer.reset()
        assert split.answers() == right
        assert split.restored_tokens() == 2 * whole * CHUNK_TOKENS
    assert len(entries.keys()) == 2 * whole
