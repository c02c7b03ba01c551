"""Two ``vllm serve`` of one model runner each, asked over HTTP with the OpenAI client."""

from __future__ import annotations

import re

import openai
import pytest

from tests.connector.engines import start_together
from tests.connector.http_server import HttpServer
from tests.connector.inputs import connected
from tests.connector.metric_names import asked, exported, expressions, table
from tests.connector.vllm_variants import V1, V2
from tests.stores.redis.servers import until

pytestmark = pytest.mark.vllm

USES_V2 = "Using V2 Model Runner"
WORDS = " ".join(f"the quick brown fox number {i} jumps over the lazy dog" for i in range(40))
OTHERS = " ".join(f"a lazy cat number {i} sleeps beside the brown dog" for i in range(40))
MESSAGES = [
    {"role": "system", "content": WORDS},
    {"role": "user", "content": "and then?"},
]


def chat(server):
    """The answer, and how many tokens its prompt had."""
    with openai.OpenAI(base_url=server.url, api_key="none", timeout=120) as client:
        reply = client.chat.completions.create(
            model="tiny", messages=MESSAGES, temperature=0, max_tokens=24
        )
    return reply.choices[0].message.content, reply.usage.prompt_tokens


def blended(server):
    """What is told of the same passage behind another beginning."""
    with openai.OpenAI(base_url=server.url, api_key="none", timeout=120) as client:
        reply = client.chat.completions.create(
            model="tiny",
            messages=[{"role": "system", "content": f"Now read this: {WORDS}"}],
            max_tokens=4,
            extra_body={"kv_transfer_params": {"kvtransfer": {"blend": True}}},
        )
    return reply.model_extra["kv_transfer_params"]["kvtransfer"]["blend"]


def asking(server, words, **said):
    """What a request that has ``said`` something is told."""
    with openai.OpenAI(base_url=server.url, api_key="none", timeout=120) as client:
        reply = client.chat.completions.create(
            model="tiny",
            messages=[{"role": "user", "content": words}],
            max_tokens=4,
            extra_body={"kv_transfer_params": {"kvtransfer": said}},
        )
    return reply.model_extra["kv_transfer_params"]["kvtransfer"]


def test_a_second_server_restores_what_the_first_has_saved(model, server, entries, tmp_path):
    setup = connected(model, server.url)
    first, second = start_together(
        lambda: HttpServer(setup, tmp_path / "first.log", V1),
        lambda: HttpServer(setup, tmp_path / "second.log", V2),
    )
    with second:
        assert [USES_V2 in one.log() for one in (first, second)] == [False, True]
        with first:
            text, prompt_tokens = chat(first)
            assert first.metric("vllm:external_prefix_cache_hits_total") == 0
            told = asking(first, f"Never kept: {WORDS}", save=False)
            assert (told["saved_tokens"], told["loaded_tokens"]) == (0, 0)
            for words in (OTHERS, f"Read: {OTHERS}"):
                assert asking(first, words, priority=-5)["saved_tokens"] >= 128
            told = asking(first, f"For a while: {WORDS}", ttl_s=3600)
            assert told["ttl_s"] == 3600
            until(lambda: 64 * len(entries.ending()) == told["saved_tokens"] > 0, timeout_s=120)
            # An engine that ends puts what it can within seconds, and drops the rest.
            saved = first.metric("kvtransfer:saved_tokens_total")
            until(lambda: len(entries.keys()) * 64 >= saved, timeout_s=120)
        (kept,) = re.findall(r"in all: restored 0 tokens, saved (\d+) tokens", first.log())
        assert int(kept) >= len(entries.keys()) * 64 >= saved > 0
        saved_tokens = prompt_tokens // 64 * 64
        assert len(entries.keys()) >= saved_tokens // 64 > 0  # the answer may have filled one more
        assert chat(second) == (text, prompt_tokens)
        assert second.metric("vllm:external_prefix_cache_hits_total") == saved_tokens
        assert second.metric("kvtransfer:store_hit_tokens_total") == saved_tokens
        assert blended(second)["reused_tokens"] > saved_tokens / 2
        assert asking(second, f"Never kept: {WORDS}")["loaded_tokens"] == 0
        assert asking(second, f"Read: {OTHERS}", load=False)["loaded_tokens"] == 0
        told = asking(second, OTHERS, max_tokens=100)
        assert (told["loaded_tokens"], told["loaded_from"]) == (64, {"remote": 64})
        with pytest.raises(openai.BadRequestError, match="there is no 'loads'; known are load"):
            asking(second, OTHERS, loads=False)
        shown = set(exported(second.metrics()))
    (told,) = re.findall(r"\[stats.py:\d+\] in all: restored (.*)", second.log())
    loaded = saved_tokens + 64
    from_where = f"{loaded} tokens (0 from host memory, {loaded} from store) in "
    assert told.startswith(from_where)
    assert set(table()) <= shown
    assert {name for _, expression in expressions() for name in asked(expression)} <= shown
