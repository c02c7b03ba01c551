"""What an operator reads of us in vLLM's log."""

from __future__ import annotations

import re

import pytest

from kvtransfer.stores.embedded.server import EmbeddedServer
from tests.connector.engine_process import Request
from tests.connector.inputs import connected, prompt

pytestmark = pytest.mark.vllm

OURS = re.compile(r"(?:^|\) )(INFO|WARNING) \d\d-\d\d [\d:]+ \[(\w+\.py):\d+\] (.*)$")
"""A line in vLLM's form: level, time, place, and what is said."""


@pytest.fixture
def engines(v1_engines):
    """What is logged is no matter of the model runner."""
    return v1_engines


def said(log, place):
    """Level and words of the lines from the file ``place``; each is in vLLM's form."""
    found = [match.groups() for line in log.splitlines() if (match := OURS.search(line))]
    return [(level, words) for level, file, words in found if file == place]


def logged(engines, setup, *requests, environment=None):
    with engines.start(setup, environment) as engine:
        engine.generate(*requests)
    return engine.log()


def test_one_line_at_start(engines, model):
    with EmbeddedServer(64 << 20) as server:
        log = logged(engines, connected(model, server.url), Request(prompt(300)))
    ((level, opening),) = said(log, "opening.py")
    assert level == "INFO"
    assert re.fullmatch(
        r"kvtransfer \S+: chunks of 64 tokens, 0.06 MiB; host memory of 0.05 GiB for 819 chunks; "
        r"store redis://:\*\*\*@127.0.0.1:\d+/0, write_through: "
        r"Valkey \d\S+, 64 MiB, allkeys-lru, [\d.]+ ms",
        opening,
    )
    assert log.count(opening) == 1


def test_what_is_odd_about_the_server_is_warned_of(engines, model):
    lines = ["maxmemory-policy noeviction", "user guest on nopass ~* +@all"]
    with EmbeddedServer(64 << 20, extra_config=lines) as server:
        url = f"redis://guest@{server.url.rpartition('@')[2]}"
        log = logged(engines, connected(model, url), Request(prompt(300)))
    warned = [words for level, words in said(log, "opening.py") if level == "WARNING"]
    assert len(warned) == 2
    assert "maxmemory-policy is noeviction" in warned[0]
    assert "it asks for no password" in warned[1]


def test_a_server_that_does_not_answer_stops_nothing(engines, model):
    setup = connected(model, "redis://:t0ps3cret@127.0.0.1:1/0")
    log = logged(engines, setup, Request(prompt(300)))
    (opening, warning) = said(log, "opening.py")
    assert opening[1].endswith("store redis://:***@127.0.0.1:1/0, write_through")
    assert warning[0] == "WARNING"
    assert "doesn't answer: its chunks are misses" in warning[1]
    assert "t0ps3cret" not in "".join(words for _, words in (opening, warning))


def test_a_variable_of_nobody_is_warned_of_once(engines, model):
    log = logged(engines, connected(model, None), environment={"LMCACHE_IMAGE_TAG": "v2"})
    ((level, words),) = said(log, "sources.py")
    assert level == "WARNING"
    assert words.startswith("LMCACHE_IMAGE_TAG: there is no setting 'image_tag'")
    assert log.count("LMCACHE_IMAGE_TAG") == 1
