"""Starts what the pictures show, where people expect it: Redis, vLLM and Prometheus on this machine."""

from __future__ import annotations

import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from demo.fleet.child import ChildError
from demo.fleet.load import Client
from demo.fleet.vllm import START_S, VllmCommand
from kvtransfer.stores.embedded.address import LoopbackPort
from kvtransfer.stores.embedded.process import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

REDIS_PORT, DEFAULT_REDIS_PORT, VLLM_PORT, PROMETHEUS_PORT = 6379, 6380, 8000, 9090
"""Ports of loopback, which must be free."""
MODEL_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
CHUNK_TOKENS = 256
PASSWORD_FILE = "redis-password"
"""In the folder that the commands run in."""
_ANSWER_TOKENS = 8

TENDED = """\
maxmemory 2gb
maxmemory-policy allkeys-lru
save ""
"""
DEFAULT = "maxmemory 512mb\n"
"""A limit, and all else as Redis has it."""


def write_password(folder: Path) -> str:
    """Write a new password into ``PASSWORD_FILE`` in ``folder``, and return it."""
    password, file = secrets.token_urlsafe(24), folder / PASSWORD_FILE
    file.touch(mode=0o600)
    file.write_text(password)
    return password


@contextmanager
def redis(folder: Path, port: int, password: str, config: str) -> Iterator[str]:
    """Run a Redis while the body runs, in ``folder``; yield its URL without its ``password``.

    Raises:
        ChildError: it isn't installed, or its port is taken.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise ChildError("no redis-server: run `apt-get install redis-server`")
    lines = f"dir {folder}\nrequirepass {password}\n{config}"
    process = ServerProcess(Path(program), LoopbackPort(port), lines)
    try:
        if not process.answers(password):
            raise ChildError(f"no Redis on port {port}: {process.last_words}")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.end()


@contextmanager
def vllm(folder: Path, model: Path, codec: str) -> Iterator[Client]:
    """Run a vLLM on the first Redis while the body runs; it has put all that it saved on return.

    Raises:
        ChildError: it doesn't come up.
    """
    settings = {
        "model_name": MODEL_NAME,
        "remote_password_file": str(folder / PASSWORD_FILE),
        "remote_serde": codec,
    }
    url = f"redis://127.0.0.1:{REDIS_PORT}/0"
    command = VllmCommand("vllm", model, VLLM_PORT, url, CHUNK_TOKENS, MODEL_NAME, settings)
    with command.start(folder) as child:
        child.wait_until_up(START_S)
        yield Client(command.url, _ANSWER_TOKENS, MODEL_NAME)
