"""Measures large values to and from Redis, beside redis-py and a raw loopback socket.

``python -m benchmarks.bench_redis [--json FILE] [--servers NAME ...] [--mib N ...] [--rounds N]``.
It measures alternately, on one connection each, in one run:

- ``kvtransfer``: the store as vLLM's chunks use it, record, checksum and verification included;
- ``redis-py-hiredis``, ``redis-py``: the value alone, with and without the C parser;
- ``loopback``: as many bytes from one process to another with ``sendall`` and ``recv_into``.

``CPU s/GB`` is the client's. PINGs come from a third process meanwhile; beside loopback they find
the server idle. ``lookup`` asks for both halves of 512 chunks. The servers: the operating system's
Redis, plain and over TLS, and the embedded Valkey.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import redis

from benchmarks.loopback import Loopback
from benchmarks.measure import append_rows, interleaved, print_table, rate_row, seconds_row
from benchmarks.ping import Pings
from benchmarks.redis_clients import Ours, with_hiredis, without_hiredis
from benchmarks.redis_servers import SERVERS
from benchmarks.redis_work import Values, Watched
from kvtransfer.chunks.keys import base_key
from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.measure import Row
    from benchmarks.redis_servers import Server

SIZES_MIB = (1, 4, 8, 32)
ROUND_BYTES = 32 << 20
"""Moved by each repetition, in as many values as that makes."""
LOOKUP_CHUNKS = 512


def main() -> None:
    options = _options()
    rows: list[Row] = []
    for name in options.servers:
        try:
            with SERVERS[name]() as server:
                for mib in options.mib:
                    rows += _apart(transfers, server, mib << 20, options.rounds)
                rows += _apart(lookups, server, options.rounds)
        except ConfigError as error:
            sys.exit(f"bench_redis: {error}")
    print_table(rows, baseline="redis-py-hiredis")
    if options.json:
        append_rows(options.json, rows)


def transfers(server: Server, value_bytes: int, rounds: int) -> list[Row]:
    """GET and SET of values of one size by everybody."""
    keys = [base_key("bench", 1, 0, f"{i:032x}") for i in range(ROUND_BYTES // value_bytes or 1)]
    values = Values(keys, os.urandom(value_bytes), memoryview(bytearray(value_bytes)))
    with ExitStack() as running:
        clients = {
            "kvtransfer": Ours(server.url, value_bytes),
            "redis-py-hiredis": with_hiredis(server.url),
            "redis-py": without_hiredis(server.url),
            "loopback": Loopback(),
        }
        for client in clients.values():
            running.enter_context(closing(client))
        control = running.enter_context(redis.Redis.from_url(server.url))
        forget = partial(control.unlink, *keys)
        puts = {name: partial(values.put, client, forget) for name, client in clients.items()}
        gets = {name: partial(values.get, client) for name, client in clients.items()}
        values.put(clients["kvtransfer"], forget)
        pids = {"loopback": clients["loopback"].pid}
        case = f"{value_bytes >> 20}MiB/{server.name}"
        moved_bytes = len(keys) * value_bytes
        rows = _rates(f"set/{case}", puts, server, pids, moved_bytes, rounds)
        values.put(clients["kvtransfer"], forget)  # the last to put has left no record
        rows += _rates(f"get/{case}", gets, server, pids, moved_bytes, rounds)
        if values.target != values.payload:
            raise AssertionError("read something else than was written")
        control.flushdb()
    return rows


def lookups(server: Server, rounds: int) -> list[Row]:
    """Measure lookups of many chunks at once."""
    keys = [base_key("bench", 1, 0, f"{i:032x}") for i in range(LOOKUP_CHUNKS)]
    clients = {
        "kvtransfer": Ours(server.url, 1),
        "redis-py-hiredis": with_hiredis(server.url),
        "redis-py": without_hiredis(server.url),
    }
    for key in keys[: LOOKUP_CHUNKS * 3 // 5]:
        clients["kvtransfer"].put(key, b".")
    works = {name: partial(client.contains, keys) for name, client in clients.items()}
    if len({tuple(work()) for work in works.values()}) != 1:
        raise AssertionError("they don't find the same chunks")
    case = f"lookup/{LOOKUP_CHUNKS}/{server.name}"
    samples = interleaved(works, 4 * rounds)
    for client in clients.values():
        client.close()
    return [
        seconds_row("redis", case, name, [sample.wall_s for sample in taken])
        for name, taken in samples.items()
    ]


def _apart(work: Callable[..., list[Row]], *arguments: object) -> list[Row]:
    # What malloc does for a large value depends on those that the process has freed before.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(work, *arguments).result()


def _rates(
    case: str,
    works: Mapping[str, Callable[[], object]],
    server: Server,
    pids: Mapping[str, int],
    moved_bytes: int,
    rounds: int,
) -> list[Row]:
    watched = {
        name: Watched(work, psutil.Process(pids.get(name, server.pid)))
        for name, work in works.items()
    }
    with closing(Pings(server.url)) as pings:
        samples = interleaved(watched, rounds)
    return [
        watched[name].row(rate_row("redis", case, name, taken, moved_bytes), pings)
        for name, taken in samples.items()
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="append one line a measurement to this file")
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=list(SERVERS))
    parser.add_argument("--mib", nargs="+", type=int, default=list(SIZES_MIB))
    parser.add_argument("--rounds", type=int, default=11)
    return parser.parse_args()


if __name__ == "__main__":
    main()
