"""Measures the verbs that look into a store, on servers of each topology, beside their PINGs.

``python -m benchmarks.bench_operate [--json FILE] [--entries N] [--topologies NAME ...]``: each verb
of ``kvtransfer`` as a process of its own, at its default rate, on that many small entries and on a
tenth of them. ``PING p99 ms`` is that of the server meanwhile, ``idle`` that of nothing at all, and
``MiB more`` what the larger store costs the verb in memory. Some entries are damaged, which
``verify`` must find.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.measure import Row, append_rows, print_table, seconds_row
from benchmarks.ping import Pings
from benchmarks.redis_servers import redis7, redis7_tls
from kvtransfer.chunks.keys import base_key
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.open import open_entries
from kvtransfer.stores.record import ChunkFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

_FACTS = ChunkFacts("naive", "tokens", "bfloat16", (2, 256, 8), 256)
_DAMAGED = 7
# The most memory that the process had, since it began to be this program.
_MEASURED = """
import sys
from kvtransfer.cli import main
main(sys.argv[1:])
with open("/proc/self/status") as status:
    print(status.read().partition("VmHWM:")[2].split()[0], file=sys.stderr)
"""
_PUTTERS = 4
VERBS = {
    "ls": ("ls", "--json"),
    "du": ("du", "--json"),
    "verify": ("verify", "--json"),
    "repair": ("verify", "--repair", "--json"),
    "clear": ("clear", "--all", "--json"),
}
"""In this order: the last two change what is there."""


@dataclass(frozen=True)
class Place:
    """A store, and the server whose PINGs are measured."""

    url: str
    ping_url: str


@contextmanager
def one_server(folder: Path) -> Iterator[Place]:
    del folder
    with redis7() as server:
        yield Place(server.url, server.url)


@contextmanager
def over_tls(folder: Path) -> Iterator[Place]:
    del folder
    with redis7_tls() as server:
        yield Place(server.url, server.url)


@contextmanager
def cluster(folder: Path) -> Iterator[Place]:
    from tests.stores.redis import cluster as clusters
    from tests.stores.redis.servers import redis_binary

    with clusters.running(redis_binary(), folder) as running:
        yield Place(running.url, running.servers[1].url)


@contextmanager
def sentinel(folder: Path) -> Iterator[Place]:
    from tests.stores.redis import sentinel as sentinels
    from tests.stores.redis.servers import PASSWORD, redis_binary

    with sentinels.running(redis_binary(), folder) as running:
        port = running.master.known_port
        yield Place(running.url, f"redis://:{PASSWORD}@127.0.0.1:{port}/0")


TOPOLOGIES: dict[str, Callable[[Path], AbstractContextManager[Place]]] = {
    "server": one_server,
    "tls": over_tls,
    "sentinel": sentinel,
    "cluster": cluster,
}


@dataclass(frozen=True)
class Ran:
    """What one verb took."""

    seconds: float
    span: tuple[float, float]
    """By ``time.monotonic``."""
    peak_mib: float
    said: str


def measure(topology: str, entries: int) -> list[Row]:
    """Run all verbs on ``entries``, after a tenth of them."""
    few = {verb: ran for verb, (ran, _) in _runs(topology, entries // 10).items()}
    rows = []
    for verb, (ran, ping_ms) in _runs(topology, entries).items():
        row = seconds_row("operate", f"{verb}/{entries}/{topology}", "kvtransfer", [ran.seconds])
        more_mib = ran.peak_mib - few[verb].peak_mib if verb in few else 0.0
        rows.append(replace(row, more={"PING p99 ms": ping_ms, "MiB more": more_mib}))
    return rows


def _runs(topology: str, entries: int) -> dict[str, tuple[Ran, float]]:
    """What each verb took, and the PINGs beside it; ``idle`` is a second of nothing."""
    with ExitStack() as running:
        folder = Path(running.enter_context(TemporaryDirectory(prefix="kv-operate-")))
        place = running.enter_context(TOPOLOGIES[topology](folder))
        plant(place.url, entries)
        pings = Pings(place.ping_url)
        began_s = time.monotonic()
        time.sleep(1.0)
        ran = {"idle": Ran(1.0, (began_s, time.monotonic()), 0.0, "")}
        ran |= {verb: run(words, place.url) for verb, words in VERBS.items()}
        pings.close()
        check(ran, entries)
        return {verb: (each, 1e3 * pings.p99_s([each.span])) for verb, each in ran.items()}


def plant(url: str, entries: int) -> None:
    """Put ``entries`` of 100 bytes, of which some are damaged afterwards."""
    keys = [base_key(f"org/model-{i % 5}", 1, 0, f"{i:032x}") for i in range(entries)]
    payload = memoryview(os.urandom(100))
    with (
        closing(open_entries(url, StoreSettings(timeout_s=30.0))) as store,
        ThreadPoolExecutor(_PUTTERS) as threads,
    ):
        list(threads.map(lambda key: store.put(key, payload, _FACTS), keys, chunksize=100))
        for key in random.Random(1).sample(keys, _DAMAGED):
            wrong = replace(_FACTS, tokens=1)
            store.put(key, payload, wrong)
            damage(url, key)


def damage(url: str, key: str) -> None:
    """Change a byte of the payload of ``key``, as no client of ours does."""
    from kvtransfer.stores.redis.store import RedisStore
    from kvtransfer.stores.redis.wire.batch import Batch, command

    with closing(RedisStore(url, StoreSettings(timeout_s=30.0))) as store:
        name = f"{key}_bytes".encode()
        batch = Batch([command(b"SETRANGE", name, b"10", b"damage")])
        store._servers.execute(name, batch, time.monotonic() + 30)


def run(words: Sequence[str], url: str) -> Ran:
    """Run the command in a process of its own; the URL comes from the environment."""
    began_s = time.monotonic()
    environment = {**os.environ, "KVTRANSFER_REMOTE_URL": url}
    command = [sys.executable, "-c", _MEASURED, *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    ended_s = time.monotonic()
    peak_kib = int(done.stderr.split()[-1])
    return Ran(ended_s - began_s, (began_s, ended_s), peak_kib / 1024, done.stdout)


def check(ran: dict[str, Ran], entries: int) -> None:
    """Raise AssertionError unless each verb has found what there is."""
    assert len(ran["ls"].said.splitlines()) == entries
    groups = [json.loads(line) for line in ran["du"].said.splitlines()]
    assert groups[-1]["entries"] == entries, groups[-1]
    for verb in ("verify", "repair"):
        assert json.loads(ran[verb].said)["damaged"] == _DAMAGED, ran[verb].said[:300]
    assert json.loads(ran["clear"].said)["entries"] == entries - _DAMAGED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="append one line a measurement to this file")
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--topologies", nargs="+", choices=TOPOLOGIES, default=list(TOPOLOGIES))
    options = parser.parse_args()
    rows = [row for name in options.topologies for row in measure(name, options.entries)]
    print_table(rows, baseline="kvtransfer")
    if options.json:
        append_rows(options.json, rows)


if __name__ == "__main__":
    main()
