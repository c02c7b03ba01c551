"""What fair shares of host memory cost the scheduler, and what a tenant is hit beside a flood.

``python -m benchmarks.bench_shares [--json FILE] [--slots N] [--requests N]``. No bytes are moved:
the index and the policies are the real ones.

- ``replace/N tenants``: CPU microseconds for each chunk of requests that fill a full index, by
  tenants that take turns; ``one policy`` is the index without quotas.
- ``hits/...``: the hit rate of a tenant of talks: ``alone`` with half the slots, and with all of
  them ``beside`` a tenant of texts that never return, with shares and without.
"""

from __future__ import annotations

import argparse
import random
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Row, append_rows, print_table, quantiles
from kvtransfer.policies import POLICIES
from kvtransfer.quotas import HostLimits
from kvtransfer.quotas.fair_policy import FairPolicy
from kvtransfer.quotas.slot_limits import SlotLimits
from kvtransfer.scheduling.index import Index

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TENANTS = (1, 8, 64, 1024)
CHUNKS = 24
ROUNDS = 5
FLOODS = 3
"""Texts of the flood between two requests of the talks."""


def shared(slots: int, policy: str) -> Index:
    """An index whose tenants have shares, and no quotas."""
    limits = SlotLimits(slots, 1, HostLimits())
    return Index(slots, tenants=FairPolicy(limits, policy))


def serve(index: Index, keys: Sequence[str]) -> int:
    """A request whose missing chunks are claimed at once; how many of them it finds."""
    index.note_request(keys)
    hits = index.leading(keys)
    taken = [slot for slot in index.pin_all(keys) if slot is not None]
    missing = [key for key in keys if key not in index]
    taken += index.claim_all(missing[: max(0, index.room_in(index.budget(keys)))])
    index.unpin_all(taken)
    return hits


def cost_rows(slots: int, requests: int) -> Iterator[Row]:
    """CPU time to replace a chunk, by policy and number of tenants."""
    for policy in POLICIES:
        for tenants in TENANTS:
            yield _cost_row(f"{policy}/{tenants} tenants", "one policy", slots, requests, tenants)
            yield _cost_row(f"{policy}/{tenants} tenants", "shares", slots, requests, tenants)


def _cost_row(case: str, impl: str, slots: int, requests: int, tenants: int) -> Row:
    policy = case.partition("/")[0]
    index = Index(slots, policy) if impl == "one policy" else shared(slots, policy)
    texts = _texts(tenants)
    for _ in range(slots // CHUNKS + 1):
        serve(index, next(texts))
    costs = []
    for _ in range(ROUNDS):
        asked = [next(texts) for _ in range(requests)]
        begun_s = time.thread_time()
        for keys in asked:
            serve(index, keys)
        costs.append((time.thread_time() - begun_s) / (requests * CHUNKS) * 1e6)
    value = sorted(costs)[ROUNDS // 2]
    return Row("shares", f"replace/{case}", impl, value, "us", quantiles(costs), ROUNDS)


def _texts(tenants: int) -> Iterator[list[str]]:
    """Texts that never return, of one tenant after another."""
    for number in count():
        yield [f"{number:016x}{i:016x}.{number % tenants:032x}" for i in range(CHUNKS)]


def hit_rows(slots: int, requests: int) -> Iterator[Row]:
    """The hit rate of talks, alone with half of the slots and beside a flood with all of them."""
    talks = list(_talks(slots, requests))
    for policy in POLICIES:
        indices = {
            "alone": Index(slots // 2, policy),
            "beside, shares": shared(slots, policy),
            "beside, one policy": Index(slots, policy),
        }
        for impl, index in indices.items():
            rate = _hit_rate(index, talks, 0 if impl == "alone" else FLOODS)
            yield Row("shares", f"hits/{policy}", impl, rate, "hit rate", (rate, rate), requests)


def _hit_rate(index: Index, talks: Sequence[list[str]], floods: int) -> float:
    texts, hits = _texts(1), 0
    for keys in talks:
        for _ in range(floods):
            serve(index, next(texts))
        hits += serve(index, keys)
    return hits / sum(map(len, talks))


def _talks(slots: int, requests: int) -> Iterator[list[str]]:
    """Turns of talks in random order; all talks together are as long as all slots."""
    chance = random.Random(7)
    turns = [0] * max(1, slots // CHUNKS)
    for _ in range(requests):
        talk = chance.randrange(len(turns))
        turns[talk] = turns[talk] % 8 + 1
        yield [f"{talk:016x}{i:016x}.talks" for i in range(3 * turns[talk])]


def main() -> int:
    options = _options()
    rows = [
        *cost_rows(options.slots, options.requests),
        *hit_rows(options.slots, 4 * options.requests),
    ]
    print_table(rows, baseline="shares")
    if options.json:
        append_rows(options.json, rows)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slots", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=500, help="in each round")
    parser.add_argument("--json", type=Path, help="append the rows here")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
