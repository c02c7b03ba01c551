"""Measures how fast values come from one or several nodes over one or many connections.

``python -m benchmarks.bench_wire [--json FILE] [--nodes N ...] [--connections N ...] [--mib N]
[--round-mib N] [--rounds N] [--servers NAME ...]``. Each case is a number of nodes, each a server of
its own, and a number of connections, which are shared out among them; a thread of one process reads
over each of them, into pinned memory where there is a GPU. Alternately, in one run:

- ``kvtransfer``: the store, record, checksum and verification included;
- ``loopback``: as many streams from processes of their own, without a protocol; encrypted by the
  same OpenSSL where the servers are.

``CPU s/GB`` is the client's. The servers: the embedded Valkey, which any machine with Python has,
and the operating system's Redis over TLS, which is left out where there is none.
"""

from __future__ import annotations

import argparse
import os
import shutil
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch

from benchmarks.loopback import Loopback
from benchmarks.measure import append_rows, interleaved, print_table, rate_row
from benchmarks.redis_clients import Ours
from benchmarks.redis_servers import SERVERS, certify
from benchmarks.wire_streams import Spent, Streams
from kvtransfer.chunks.keys import base_key
from kvtransfer.device import open_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measure import Row
    from benchmarks.redis_servers import Server

TLS = "redis7-tls"


def main() -> None:
    options = _options()
    rows: list[Row] = []
    payload = os.urandom(options.mib << 20)
    for name in options.servers:
        for nodes in options.nodes:
            with ExitStack() as running:
                servers = [running.enter_context(SERVERS[name]()) for _ in range(nodes)]
                for connections in options.connections:
                    keys = _keys(options, connections)
                    rows += measure(servers, connections, keys, payload, options.rounds)
    print_table(rows, baseline="loopback")
    if options.json:
        append_rows(options.json, rows)


def measure(
    servers: Sequence[Server], connections: int, keys: Sequence[str], payload: bytes, rounds: int
) -> list[Row]:
    """Read ``keys`` over each of ``connections``, and as much over lines without a protocol."""
    targets = _memory(connections, len(payload))
    with ExitStack() as running:
        stores = _filled(running, servers, connections, keys, payload)
        lines = _lines(running, connections, is_encrypted=servers[0].name == TLS)
        readers = [stores[i % len(stores)] for i in range(connections)]
        streams = {
            "kvtransfer": Streams(readers, targets, keys),
            "loopback": Streams(lines, targets, keys),
        }
        pids = {
            "kvtransfer": [each.pid for each in servers],
            "loopback": [each.pid for each in lines],
        }
        works = {
            name: Spent(running.enter_context(closing(each)).read, pids[name])
            for name, each in streams.items()
        }
        samples = interleaved(works, rounds)
        streams["kvtransfer"].read()
        if any(target != payload for target in targets):
            raise AssertionError("read something else than was written")
    case = f"get/{len(payload) >> 20}MiB/{servers[0].name}/nodes{len(servers)}/connections{connections}"
    moved_bytes = connections * len(keys) * len(payload)
    return [
        works[name].row(rate_row("wire", case, name, taken, moved_bytes))
        for name, taken in samples.items()
    ]


def _keys(options: argparse.Namespace, connections: int) -> list[str]:
    """As many as each connection reads in a round; every node holds all of them."""
    count = -(-options.round_mib // (options.mib * connections))
    return [base_key("bench", 1, 0, f"{i:032x}") for i in range(count)]


def _filled(
    running: ExitStack,
    servers: Sequence[Server],
    connections: int,
    keys: Sequence[str],
    payload: bytes,
) -> list[Ours]:
    """A store for each of ``servers``, which hold ``payload`` under each of ``keys``."""
    of_each = -(-connections // len(servers))
    stores = [
        running.enter_context(closing(Ours(server.url, len(payload), of_each)))
        for server in servers
    ]
    for store in stores:
        for key in keys:
            store.put(key, payload)
    return stores


def _lines(running: ExitStack, count: int, *, is_encrypted: bool) -> list[Loopback]:
    with TemporaryDirectory() as folder:
        certified = certify(Path(folder)) if is_encrypted else None
        return [running.enter_context(closing(Loopback(certified))) for _ in range(count)]


def _memory(count: int, nbytes: int) -> list[memoryview]:
    """``count`` pieces of host memory, pinned where there is a GPU."""
    device = open_device(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    memory = memoryview(device.host_memory(count * nbytes).numpy())
    return [memory[i * nbytes : (i + 1) * nbytes] for i in range(count)]


def _options() -> argparse.Namespace:
    known = ("valkey", *((TLS,) if shutil.which("redis-server") else ()))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="append one line a measurement to this file")
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=known)
    parser.add_argument("--nodes", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--connections", nargs="+", type=int, default=[1, 2, 4, 8, 16])
    parser.add_argument("--mib", type=int, default=8, help="of one value")
    parser.add_argument("--round-mib", type=int, default=128, help="of all values of one round")
    parser.add_argument("--rounds", type=int, default=11)
    return parser.parse_args()


if __name__ == "__main__":
    main()
