"""Tenants that write as fast as they can, several processes each, into one store."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from kvtransfer.stores.ledgers.scope import Scope
from kvtransfer.stores.redis.ledger_commands import names_of
from tests.stores.ledgers.quotas import (
    NBYTES,
    OTHER_TENANT,
    TENANT,
    get,
    held_bytes,
    held_in_cluster,
    opened_for,
    put,
)
from tests.stores.redis import cluster as clusters
from tests.stores.redis.servers import BINARIES, Server, redis_binary, until

ROOT = Path(__file__).parents[3]
QUOTA = 150 * NBYTES
COUNT = 400
WRITERS = {TENANT: (1, 2), OTHER_TENANT: (3, 4)}
SLACK = 0.02


@pytest.fixture
def server(tmp_path):
    running = Server(redis_binary(), tmp_path)
    yield running
    running.kill()


@contextmanager
def writing(url, writers=WRITERS, count=COUNT, quota=QUOTA):
    """Processes that write, once each has put its first entry; all have ended well afterwards."""
    with ExitStack() as ending:
        processes = []
        for tenant, numbers in writers.items():
            for number in numbers:
                words = (url, tenant, number, count, quota)
                process = subprocess.Popen(
                    [sys.executable, "-m", "tests.stores.ledgers.writer", *map(str, words)],
                    stdout=subprocess.PIPE,
                    cwd=ROOT,
                )
                ending.enter_context(process)
                ending.callback(process.kill)
                processes.append(process)
        for process in processes:
            assert process.stdout.readline() == b"begun\n"
        yield processes
        for process in processes:
            assert process.wait() in (0, -signal.SIGKILL)


def is_any_alive(processes):
    return any(process.poll() is None for process in processes)


def assert_full(held, quota=QUOTA):
    assert (1 - SLACK) * quota <= held <= (1 + SLACK) * quota


@pytest.mark.parametrize("binary", BINARIES)
def test_each_holds_its_quota_and_never_more(binary, tmp_path):
    server = Server(BINARIES[binary](), tmp_path)
    most = dict.fromkeys(WRITERS, 0)
    with server.client() as client:
        with writing(server.url) as processes:
            while is_any_alive(processes):
                for tenant, writers in WRITERS.items():
                    most[tenant] = max(most[tenant], held_bytes(client, *writers))
        for tenant, writers in WRITERS.items():
            assert most[tenant] <= (1 + SLACK) * QUOTA
            assert_full(held_bytes(client, *writers))


@pytest.mark.parametrize("entries", [150, 2 * 512], ids=["one by one", "from leases"])
def test_a_writer_is_killed(server, entries):
    quota = entries * NBYTES
    with server.client() as client:
        with writing(server.url, count=entries + 150, quota=quota) as processes:
            processes[0].kill()
        for writers in WRITERS.values():
            assert_full(held_bytes(client, *writers), quota)


def test_all_is_flushed_meanwhile(server):
    with server.client() as client:
        with writing(server.url) as processes:
            client.flushall()
            most = 0
            while is_any_alive(processes):
                most = max(most, held_bytes(client, *WRITERS[TENANT]))
        # What was under way when all went is counted once it is there.
        assert most <= (1 + SLACK) * QUOTA
        for writers in WRITERS.values():
            assert_full(held_bytes(client, *writers))


def test_in_a_cluster(tmp_path):
    with clusters.running(redis_binary(), tmp_path) as cluster:
        with writing(cluster.url):
            pass
        for writers in WRITERS.values():
            assert_full(held_in_cluster(cluster, *writers))


def test_a_flood_takes_no_hits_from_another_tenant(server):
    """The other one asks for more than it may hold, some of it often."""
    chance = random.Random(5)
    asked = [int(chance.paretovariate(0.4)) % 1000 for _ in range(1500)]
    with server.client() as client:
        alone = hits_of(server.url, asked)
        client.flushall()
        with writing(server.url, {OTHER_TENANT: (3, 4)}, count=10**9) as flood:
            beside = hits_of(server.url, asked)
            for process in flood:
                process.kill()
    assert 0 < alone < len(asked) - len(set(asked))
    assert beside >= alone - SLACK * len(asked)


def hits_of(url, asked):
    """Read each entry of ``asked``, or put it; return how many were there."""
    hits = 0
    with opened_for(url, each_bytes=QUOTA) as store:
        for number in asked:
            is_there = get(store, 1, number)
            hits += is_there
            assert is_there or put(store, 1, number)
    return hits


PLANTED = {
    "a text": lambda client, name: client.set(name, "planted"),
    "a list": lambda client, name: client.rpush(name, "planted"),
    "a negative sum": lambda client, name: client.hset(name, "held", "-5"),
    "no number": lambda client, name: client.hset(name, "held", "nan"),
    "other members": lambda client, name: client.zadd(name, {"planted": 1}),
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_ledger_of_the_wrong_kind_is_made_anew_of_what_is_there(server, what):
    with server.client() as client, opened_for(server.url, each_bytes=QUOTA) as store:
        for writer, name in enumerate(names_of(Scope("tenant", TENANT))):
            for number in range(160):
                assert put(store, writer, number)
            client.delete(name)
            PLANTED[what](client, name)
            for number in range(160, 300):
                assert put(store, writer, number)
            until(partial(is_counted_again, client))
            assert held_bytes(client) >= (1 - SLACK) * QUOTA


def is_counted_again(client):
    state = client.hgetall(names_of(Scope("tenant", TENANT)).state)
    return int(state[b"held"]) == held_bytes(client) <= QUOTA
