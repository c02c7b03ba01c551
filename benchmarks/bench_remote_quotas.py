"""Measures what quotas of the remote store cost a put.

``python -m benchmarks.bench_remote_quotas [--json FILE] [--servers NAME ...] [--mib N ...] [--rounds N]``.
Puts of values by tenants of their own, alternately in one run:

- ``no quota``: the store as it is without any;
- ``lease``: a quota of which a lease is worth many values, with room for all;
- ``one by one``: a quota with room for all, of which a lease is not worth one value;
- ``full``: a quota for half of what a repetition puts, so that each put evicts another value.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from benchmarks.measure import append_rows, interleaved, print_table, rate_row
from benchmarks.redis_servers import SERVERS
from kvtransfer.chunks.keys import base_key, tenant_of_salt
from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.errors import ConfigError
from kvtransfer.metrics import Metrics
from kvtransfer.quotas.limits import RemoteLimits
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.stores.ledgers.scope import ScopeLimits
from kvtransfer.stores.ledgers.store import QuotaStore
from kvtransfer.stores.open import open_entries, open_ledger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measure import Row
    from benchmarks.redis_servers import Server
    from kvtransfer.stores.interface import Store

SIZES_MIB = (1, 8)
ROUND_BYTES = 64 << 20
"""Put by each repetition, in as many values as that makes."""
_LEASES = 512


def puts(server: Server, value_bytes: int, rounds: int) -> list[Row]:
    """Put values of one size under each quota."""
    count = ROUND_BYTES // value_bytes
    limits = {
        "no quota": None,
        "lease": _LEASES * ROUND_BYTES,
        "one by one": min(2 * ROUND_BYTES, _LEASES * value_bytes - 1),
        "full": ROUND_BYTES // 2,
    }
    payload = memoryview(os.urandom(value_bytes))
    with ExitStack() as running:
        control = running.enter_context(redis.Redis.from_url(server.url))
        works = {}
        for number, (name, limit) in enumerate(limits.items()):
            entries = _opened(server.url, limit)
            form = ChunkFormat("opaque:bench", "uint8", (value_bytes,), 1, value_bytes)
            store = running.enter_context(closing(FormattedStore(entries, form)))
            keys = [base_key(f"bench-{number}", 1, 0, f"{i:032x}") for i in range(count)]
            tenant = tenant_of_salt(name)
            works[name] = partial(_put_all, control, store, keys, payload, tenant)
        samples = interleaved(works, rounds)
        control.flushdb()
    case = f"put/{value_bytes >> 20}MiB/{server.name}"
    return [
        rate_row("remote_quotas", case, name, taken, ROUND_BYTES) for name, taken in samples.items()
    ]


def _opened(url: str, limit_bytes: int | None) -> Store:
    settings = StoreSettings(timeout_s=30.0)
    entries = open_entries(url, settings)
    if limit_bytes is None:
        return entries
    limits = ScopeLimits(RemoteLimits(each_bytes=limit_bytes), "")
    return QuotaStore(entries, open_ledger(url, settings), limits, Metrics())


def _put_all(
    control: redis.Redis,
    store: FormattedStore,
    keys: Sequence[str],
    payload: memoryview,
    tenant: str,
) -> None:
    control.unlink(*keys)  # the store would not put an existing one again
    for key in keys:
        if not store.put(key, payload, tenant):
            raise AssertionError(f"{key} was not put")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="append one line a measurement to this file")
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=["redis7"])
    parser.add_argument("--mib", nargs="+", type=int, default=list(SIZES_MIB))
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    rows: list[Row] = []
    try:
        for name in options.servers:
            with SERVERS[name]() as server:
                for mib in options.mib:
                    rows += puts(server, mib << 20, options.rounds)
    except ConfigError as error:
        sys.exit(f"bench_remote_quotas: {error}")
    print_table(rows, baseline="no quota")
    if options.json:
        append_rows(options.json, rows)


if __name__ == "__main__":
    main()
