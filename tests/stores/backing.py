"""Entries in a Redis, reached by redis-py: the store contract's side door."""

from __future__ import annotations

from kvtransfer.stores import open_store
from kvtransfer.stores.open import open_entries


class RedisBacking:
    def __init__(self, url, client):
        self.url = url
        self.client = client

    def open(self, chunk, settings):
        return open_store(self.url, chunk, settings)

    def entries(self, settings):
        return open_entries(self.url, settings)

    def payload(self, key):
        return self.client.get(f"{key}_bytes")

    def set_payload(self, key, payload):
        name = f"{key}_bytes"
        self.client.delete(name) if payload is None else self.client.set(name, payload)

    def fields(self, key):
        return {k.decode(): v.decode() for k, v in self.client.hgetall(key).items()} or None

    def set_fields(self, key, fields):
        with self.client.pipeline() as pipe:
            pipe.delete(key)
            if fields is not None:
                pipe.hset(key, mapping=fields)
            pipe.execute()

    def elapse(self, seconds):
        for name in self.client.scan_iter():
            left_ms = self.client.pttl(name)
            if left_ms >= 0:
                self.client.pexpire(name, left_ms - 1000 * seconds)
