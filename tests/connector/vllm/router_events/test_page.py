"""The commands of ``docs/routers.md`` are what vLLM, our settings and the router take."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from vllm.config.kv_events import KVEventsConfig

from kvtransfer.config import TransferConfig
from kvtransfer.connector.vllm.router_events.refusals import refuse_events

PAGE = (Path(__file__).parents[4] / "docs" / "routers.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("router", ["vllm-router", "dynamo", "llm-d"])
def test_each_router_has_a_command_that_is_not_refused(router):
    (block,) = (text for text in BLOCKS if f"KVTRANSFER_KV_EVENTS={router}\n" in text)
    words = shlex.split(block)
    events = KVEventsConfig(**json.loads(words[words.index("--kv-events-config") + 1]))
    config = TransferConfig.of(kv_events=router)
    refuse_events(config, SimpleNamespace(kv_events_config=events))
    assert events.publisher == "zmq"


def test_vllm_router_knows_each_option_of_its_command():
    (block,) = (text for text in BLOCKS if text.startswith("vllm-router"))
    program = Path(sys.executable).with_name("vllm-router")
    known = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
    options = set(re.findall(r"(--[a-z-]+)", block))
    assert len(options) >= 6
    assert options <= set(re.findall(r"--[a-z-]+", known))
