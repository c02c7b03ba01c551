"""The recipes' page, run: its server, its two vLLM and its client; names and ports are ours."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

import openai
import pytest
import redis

from benchmarks.vllm_serve import VllmServe, free_port
from kvtransfer.config import TransferConfig
from kvtransfer.stores.embedded import server_binary
from tests.connector.entries import Entries
from tests.connector.metric_names import NAME, exported, expressions, table
from tests.connector.recipes import blocks, commands, option

pytestmark = pytest.mark.vllm

START_S = 30
MESSAGES = [
    {"role": "system", "content": "the quick brown fox jumps over the lazy dog " * 60},
    {"role": "user", "content": "and then?"},
]
# What a small machine without a GPU needs beside the page's own arguments.
ON_A_CPU = ("--enforce-eager", "--kv-cache-memory-bytes", str(64 << 20), "--max-model-len", "2048")


@dataclass(frozen=True)
class PageCommand:
    """A ``vllm serve`` of the page."""

    arguments_: list[str]
    model: str
    redis_port: int

    def arguments(self, port):
        where = self.arguments_.index("--port") + 1
        ours = [*self.arguments_[:where], str(port), *self.arguments_[where + 1 :]]
        ours[ours.index("MODEL")] = self.model
        return [*ours, "--host", "127.0.0.1", "--served-model-name", "MODEL", *ON_A_CPU]

    @property
    def environment(self):
        ((setting,),) = commands("export ")
        name, _, url = setting.partition("=")
        return {name: url.replace("HOST:6379", f"127.0.0.1:{self.redis_port}")}


@contextmanager
def store(folder):
    """The page's Redis, by the Valkey that is bundled; yields its port."""
    (arguments,) = commands("redis-server ")
    port = free_port()
    arguments = [str(port) if part == "6379" else part for part in arguments]
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen(
            [server_binary(), *arguments, "--bind", "127.0.0.1"],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        await_store(process, f"redis://:PASSWORD@127.0.0.1:{port}/0")
        yield port
    finally:
        process.kill()
        process.wait()


def await_store(process, url):
    deadline_s = time.monotonic() + START_S
    with redis.Redis.from_url(url) as client:
        while process.poll() is None and time.monotonic() < deadline_s:
            try:
                client.ping()
                return
            except redis.ConnectionError:
                time.sleep(0.02)
    raise AssertionError("the page's Redis does not come up")


@pytest.mark.parametrize("arguments", commands("vllm serve"))
def test_vllm_takes_the_arguments_and_we_the_configuration(arguments, model):
    from vllm.config import KVTransferConfig
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parsed = make_arg_parser(FlexibleArgumentParser()).parse_args(arguments)
    assert isinstance(parsed.kv_transfer_config, KVTransferConfig)
    given = json.loads(option(arguments, "--kv-transfer-config"))
    assert parsed.kv_transfer_config.kv_role == given["kv_role"]
    assert given["kv_load_failure_policy"] == "recompute"
    TransferConfig.load(given.get("kv_connector_extra_config", {}))


def test_the_page_has_instances_that_share_and_a_split():
    roles = [
        json.loads(option(one, "--kv-transfer-config"))["kv_role"] for one in commands("vllm serve")
    ]
    assert roles == ["kv_both", "kv_producer", "kv_consumer"]


def test_prefill_here_decode_there(model, tmp_path):
    _, *split = commands("vllm serve")
    with ExitStack() as running:
        port = running.enter_context(store(tmp_path))
        entries = running.enter_context(closing(Entries(f"redis://:PASSWORD@127.0.0.1:{port}/0")))
        producer, consumer = (
            running.enter_context(VllmServe(PageCommand(one, model, port), tmp_path / name))
            for one, name in zip(split, ("producer.log", "consumer.log"), strict=True)
        )
        producer.wait_until_up()
        consumer.wait_until_up()
        with openai.OpenAI(base_url=f"{producer.url}/v1", api_key="none", timeout=120) as client:
            alone = client.chat.completions.create(
                model="MODEL", messages=MESSAGES, max_tokens=24, temperature=0
            )
        entries.await_count(alone.usage.prompt_tokens // 256)
        stored = entries.keys()
        reply = client_of_the_page(producer.url, consumer.url)(
            MESSAGES, max_tokens=24, temperature=0
        )
        assert reply.choices[0].message.content == alone.choices[0].message.content
        restored = consumer.counted("kvtransfer:store_hit_tokens_total")
        assert restored == alone.usage.prompt_tokens // 256 * 256 > 0
        assert producer.counted("vllm:external_prefix_cache_hits_total") == 0
        assert consumer.counted("kvtransfer:put_bytes_total") == 0
        assert entries.keys() == stored
        names = set(exported(consumer.metrics()))
    assert set(table()) <= names
    assert {name for _, one in expressions() for name in NAME.findall(one)} <= names


def client_of_the_page(prefill_url, decode_url):
    """Its function ``answer``, on our servers."""
    (code,) = blocks("python")
    code = code.replace("http://HOST:8001", prefill_url).replace("http://HOST:8002", decode_url)
    names: dict = {}
    exec(code, names)
    return names["answer"]
