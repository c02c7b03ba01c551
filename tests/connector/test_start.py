"""The commands of ``docs/start.md``, run in its order; the model, the port and the folder are ours."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from kvtransfer.config import TransferConfig
from tests.connector.engine_process import Setup
from tests.connector.http_server import HttpServer
from tests.connector.recipes import option
from tests.connector.tiny_model import write_model

pytestmark = pytest.mark.vllm

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")
TOLD = re.compile(r"(\d+) tokens, of which (\d+) from a cache\n")


def block(name):
    """What the page's block that is called ``name`` holds."""
    (found,) = re.findall(rf"^```\w+ {re.escape(name)}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return found


def shown_after(command):
    """What the page shows below ``command``, up to the next one."""
    consoles = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (console,) = [each for each in consoles if f"$ {command}\n" in each]
    return console.partition(f"$ {command}\n")[2].partition("$ ")[0]


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("kvtransfer --version", ["-m", "kvtransfer", "--version"]),
        ("python examples/quickstart.py", ["examples/quickstart.py"]),
    ],
)
def test_a_command_prints_what_the_page_shows(command, arguments):
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == shown_after(command)


def test_a_new_process_restores_what_the_page_asks_for(tmp_path, monkeypatch):
    export, serve = block("serve.sh").splitlines()
    for setting in shlex.split(export)[1:]:
        monkeypatch.setenv(*setting.split("="))
    monkeypatch.setenv("KVTRANSFER_LOCAL_STORAGE", str(tmp_path / "chunks"))
    monkeypatch.setenv("KVTRANSFER_MAX_LOCAL_CPU_SIZE", "0.05")
    monkeypatch.setenv("KVTRANSFER_LOAD_MARGIN", "1e9")  # the tiny model computes faster
    arguments = shlex.split(serve)
    transfer = json.loads(option(arguments, "--kv-transfer-config"))
    options = {"max_model_len": 4096, "enable_prompt_tokens_details": True}
    setup = Setup(str(write_model(tmp_path / "tiny")), transfer, options)
    told = []
    for log in ("first.log", "second.log"):
        with HttpServer(setup, tmp_path / log) as server:
            told.append(_asked(server))
            hits = server.metric("vllm:external_prefix_cache_hits_total")
    (tokens, nothing), (same_tokens, cached) = told
    assert (same_tokens, nothing) == (tokens, 0)
    assert cached == hits == (tokens - 1) // 256 * 256 > 0
    assert "--enable-prompt-tokens-details" in arguments
    assert "kvtransfer" in server.log()


def test_what_the_page_shows_adds_up():
    (cold, warm) = re.findall(TOLD, PAGE)
    assert cold[0] == warm[0]
    assert (int(cold[1]), int(warm[1])) == (0, (int(cold[0]) - 1) // 256 * 256)
    assert f'hits_total{{engine="0",model_name="MODEL"}} {warm[1]}.0' in PAGE
    assert "less than a chunk of 256" in PAGE
    assert TransferConfig.of().chunk_size == 256


def _asked(server):
    """Tokens, and those from a cache, as the page's script prints them."""
    program = block("ask.py")
    assert "http://localhost:8000/v1" in program
    program = program.replace("http://localhost:8000/v1", server.url)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return tuple(map(int, TOLD.fullmatch(done.stdout).groups()))
