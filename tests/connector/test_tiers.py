"""Memory that is too small, with a disk and Redis behind it: every turn of many talks is right."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import cycle
from pathlib import Path

import pytest

from kvtransfer.stores.embedded.server import EmbeddedServer
from tests.connector.conversation import hold, requests, small_host

pytestmark = pytest.mark.vllm

TALKS, TURNS = 8, 4
# A long request has twelve chunks, all talks together have seventy.
HOST_CHUNKS, DISK_CHUNKS = 18, 26
PLENTY = 200


@pytest.fixture(scope="module")
def asked(plain):
    return requests(plain, TALKS, TURNS, seed=2)


def test_each_tier_serves_and_every_turn_is_right(v1_engines, model, asked, tmp_path):
    with EmbeddedServer(64 << 20) as server:
        setup = small_host(model, HOST_CHUNKS, tmp_path / "chunks", DISK_CHUNKS, server.url)
        with v1_engines.start(setup) as engine:
            turns = hold(engine, asked)
            counted = engine.counted()
    assert turns.wrong == []
    assert counted["host_hit_tokens"] > 0
    assert counted["disk_fetched_tokens"] > 0
    assert counted["remote_fetched_tokens"] > 0
    assert counted["promoted_chunks"] > 0
    assert counted["host_hit_tokens"] + counted["store_hit_tokens"] == turns.external_tokens
    fetched_tokens = counted["disk_fetched_tokens"] + counted["remote_fetched_tokens"]
    assert fetched_tokens >= counted["store_hit_tokens"]


def test_a_restart_finds_what_the_disk_holds(v1_engines, model, asked, tmp_path):
    last = asked[-1:]
    setup = small_host(model, HOST_CHUNKS, tmp_path / "chunks", PLENTY)
    with v1_engines.start(setup) as engine:
        assert hold(engine, last).external_tokens == 0
    with v1_engines.start(setup) as engine:
        turns = hold(engine, last)
        counted = engine.counted()
    assert turns.wrong == []
    chunks_tokens = turns.prompt_tokens // 64 * 64
    assert turns.external_tokens == counted["disk_fetched_tokens"] == chunks_tokens


def test_two_engines_share_a_folder(v1_engines, model, asked, tmp_path):
    setup = small_host(model, HOST_CHUNKS, tmp_path / "chunks", DISK_CHUNKS)
    with v1_engines.start(setup) as one, v1_engines.start(setup) as other:
        for number, turn in enumerate(asked):  # a talk goes on where it was not before
            assert hold(one if number % 2 else other, [turn]).wrong == []
        counted = [engine.counted()["disk_fetched_tokens"] for engine in (one, other)]
    assert min(counted) > 0


def test_serving_goes_on_when_the_folder_is_gone(v1_engines, model, asked, tmp_path):
    folder, elsewhere = tmp_path / "chunks", tmp_path / "elsewhere"
    with v1_engines.start(small_host(model, HOST_CHUNKS, folder, PLENTY)) as engine:
        assert hold(engine, asked[:10]).wrong == []
        folder.rename(elsewhere)
        assert hold(engine, asked[10:20]).wrong == []
        put_a_file_in_place_of(folder)
        assert hold(engine, asked[20:]).wrong == []
        log = engine.log()
    # Once a minute; reads may have been spared by host memory.
    assert log.count("its chunks are misses: Not a directory") <= 4
    assert 1 <= log.count("takes no chunks for now: [Errno 20] Not a directory") <= 4


def test_hostile_files_cost_their_chunks_and_are_replaced(v1_engines, model, asked, tmp_path):
    folder = tmp_path / "chunks"
    setup = small_host(model, HOST_CHUNKS, folder, PLENTY)
    with v1_engines.start(setup) as engine:
        assert hold(engine, asked[:10]).wrong == []
    chunks = sorted(folder.rglob("*.kv"))
    for path, plant in zip(chunks, cycle([os.mkfifo, loop, Path.touch, None]), strict=False):
        if plant is not None:
            path.unlink()
            plant(path)
    with v1_engines.start(setup) as engine:
        assert hold(engine, asked[:10]).wrong == []
        log = engine.log()
    assert all(path.is_file() and path.stat().st_size > 0 for path in chunks)
    assert "fails" not in log


def loop(path):
    path.symlink_to(path.name)


def put_a_file_in_place_of(folder):
    """Though an engine may be writing there, which makes the folder anew."""
    while not folder.is_file():
        with suppress(OSError):
            folder.rename(folder.with_name(f"was-{os.urandom(4).hex()}"))
        with suppress(FileExistsError), folder.open("x") as file:
            file.write("not a folder")
