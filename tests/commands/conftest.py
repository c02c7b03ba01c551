"""Stores of each kind with entries in them, and the command as a person runs it."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from demo.pictures.terminal import screen_of
from kvtransfer.chunks.keys import tenant_of_salt
from kvtransfer.cli import main
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.embedded.server import EmbeddedServer
from kvtransfer.stores.open import open_entries
from tests.operate.entries import FACTS, key_of

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = str(Path(__file__).parents[2])
PAYLOAD = bytes(range(256)) * 40
TENANT = tenant_of_salt("a customer")
"""Has each fourth entry."""


@dataclass
class Filled:
    """A store with twelve entries of two models."""

    url: str
    damage: Callable[[str], None]
    """Change some bytes of the payload of a key."""

    def listed(self):
        with closing(open_entries(self.url, StoreSettings())) as store:
            return sorted(entry.key for entry in store.entries())


@dataclass
class Ran:
    status: int
    out: str
    err: str

    @property
    def objects(self):
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def run(capsys):
    def ran(*arguments):
        status = main([str(argument) for argument in arguments])
        return Ran(status, *capsys.readouterr())

    return ran


@pytest.fixture
def in_terminal(tmp_path):
    """Runs the command in a terminal; returns its lines as a person sees them."""

    def seen(columns, *arguments):
        command = [sys.executable, "-m", "kvtransfer", *map(str, arguments)]
        return [line.plain for line in screen_of(command, columns, tmp_path, {"PYTHONPATH": ROOT})]

    return seen


@pytest.fixture(params=["redis", "disk"])
def filled(request, tmp_path):
    with ExitStack() as running:
        if request.param == "redis":
            server = running.enter_context(EmbeddedServer(64 << 20))
            client = running.enter_context(redis.Redis.from_url(server.url))
            url = server.url

            def damage(key):
                client.setrange(f"{key}_bytes", 100, b"damage")
        else:
            url = f"disk://{tmp_path}/chunks"

            def damage(key):
                (path,) = tmp_path.rglob(f"*{key.rpartition('@')[2]}*")
                content = bytearray(path.read_bytes())
                content[200:210] = b"0123456789"
                path.write_bytes(content)

        with closing(open_entries(url, StoreSettings())) as store:
            for number in range(12):
                key = key_of(number, "org/model" if number % 3 else "other")
                tenant = "" if number % 4 else TENANT
                assert store.put(key, memoryview(PAYLOAD), FACTS, tenant)
        yield Filled(url, damage)
