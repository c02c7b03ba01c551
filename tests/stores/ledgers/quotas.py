"""Stores with quotas, and what a server itself says that they hold."""

from __future__ import annotations

from contextlib import contextmanager

import redis

from kvtransfer.chunks.keys import base_key, tenant_of_salt
from kvtransfer.metrics import Metrics
from kvtransfer.quotas.limits import RemoteLimits
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.ledgers.scope import ScopeLimits
from kvtransfer.stores.ledgers.store import QuotaStore
from kvtransfer.stores.open import open_entries, open_ledger
from kvtransfer.stores.record import ChunkFacts

FACTS = ChunkFacts("naive", "tokens", "uint8", (1000,), 16)
TENANT, OTHER_TENANT = tenant_of_salt("one"), tenant_of_salt("another")
MODEL = "org/model"
NBYTES = 1000

# In one script, so that no writer comes in between.
_SUM = """
local sum = 0
for _, pattern in ipairs(ARGV) do
  for _, name in ipairs(redis.call('KEYS', pattern)) do
    sum = sum + redis.call('STRLEN', name)
  end
end
return sum
"""


def key_of(writer, number, model=MODEL):
    """The key of an entry; its hash begins with the number of who writes it, two digits."""
    return base_key(model, 1, 0, f"{writer:02x}{number:030x}")


def opened(url, *, metrics=None, namespace="", timeout_s=2.0, **limits):
    """A store with quotas; its owner closes it."""
    settings = StoreSettings(timeout_s=timeout_s)
    return QuotaStore(
        open_entries(url, settings),
        open_ledger(url, settings),
        ScopeLimits(RemoteLimits(**limits), namespace),
        metrics or Metrics(),
    )


@contextmanager
def opened_for(url, **options):
    store = opened(url, **options)
    try:
        yield store
    finally:
        store.close()


def put(store, writer, number, tenant=TENANT, nbytes=NBYTES, model=MODEL):
    payload = memoryview(bytes([number % 251]) * nbytes)
    return store.put(key_of(writer, number, model), payload, FACTS, tenant)


def get(store, writer, number, tenant=TENANT):
    buffer = memoryview(bytearray(2 * NBYTES))
    return store.get_into(key_of(writer, number), buffer, tenant) is not None


def held_bytes(client, *writers):
    """Bytes of all payloads of ``writers``, or of all, at one moment of the server."""
    names = [f"*@{writer:02x}*_bytes" for writer in writers] or ["*_bytes"]
    return client.eval(_SUM, 0, *names)


def held_in_cluster(cluster, *writers):
    total = 0
    for server in cluster.masters():
        with server.client() as client:
            total += held_bytes(client, *writers)
    return total


@contextmanager
def client_of(url):
    with redis.Redis.from_url(url) as client:
        yield client
