"""The recipes' page, run: its server, its configurations and its client, without HTTP between.

``test_serve.py`` has that. Names and ports are ours.
"""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from types import SimpleNamespace

import openai
import pytest
import redis

from benchmarks.vllm_serve import free_port
from kvtransfer.config import TransferConfig
from kvtransfer.stores.embedded.server import server_binary
from tests.connector.engine_process import Request, Setup
from tests.connector.engines import Engine, start_together
from tests.connector.entries import Entries
from tests.connector.inputs import prompt
from tests.connector.recipes import blocks, commands, option

pytestmark = pytest.mark.vllm

START_S = 30
CHUNK_TOKENS = 256
MESSAGES = prompt(600, seed=21)
ANSWER_TOKENS = 24


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
    assert roles == ["kv_both", *2 * ("kv_producer", "kv_consumer")]


@dataclass
class Client:
    """For ``openai.OpenAI``: hands what is asked to an engine, and takes token ids for messages."""

    engine: Engine

    @property
    def chat(self):
        return SimpleNamespace(completions=SimpleNamespace(create=self._create))

    def _create(self, *, model, messages, max_tokens):
        assert model == "MODEL"
        return self.engine.generate(Request(messages, max_tokens))


def test_prefill_here_decode_there(engines, model, plain, tmp_path, monkeypatch):
    _, *split = commands("vllm serve")[:3]
    with ExitStack() as running:
        port = running.enter_context(store(tmp_path))
        entries = running.enter_context(closing(Entries(f"redis://:PASSWORD@127.0.0.1:{port}/0")))
        producer, consumer = (
            running.enter_context(engine)
            for engine in start_together(
                *(lambda one=one: start(engines, model, one, port) for one in split)
            )
        )
        by_url = {"http://HOST:8001/v1": producer, "http://HOST:8002/v1": consumer}
        monkeypatch.setattr(openai, "OpenAI", lambda base_url, api_key: Client(by_url[base_url]))
        answer = client_of_the_page()
        request = Request(MESSAGES, ANSWER_TOKENS)
        expected = plain.generate(request).answers
        assert producer.generate(request).answers == expected
        whole = len(MESSAGES) // CHUNK_TOKENS
        entries.await_count(whole)
        reply = answer(MESSAGES, max_tokens=ANSWER_TOKENS)
        assert (reply.answers, reply.external_tokens) == (expected, whole * CHUNK_TOKENS)
        assert len(entries.keys()) == whole


def start(engines, model, arguments, port):
    """What the page's ``vllm serve`` would start."""
    transfer = json.loads(option(arguments, "--kv-transfer-config"))
    ((setting,),) = commands("export ")
    name, _, url = setting.partition("=")
    address = url.replace("HOST:6379", f"127.0.0.1:{port}")
    small = {"KVTRANSFER_MAX_LOCAL_CPU_SIZE": "0.05"}
    return engines.start(Setup(model, transfer), {name: address, **small})


def client_of_the_page():
    """Its function ``answer``."""
    (code,) = blocks("python")
    names: dict = {}
    exec(code, names)
    return names["answer"]
