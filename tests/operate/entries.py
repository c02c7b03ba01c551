"""Entries as a listing has them."""

from __future__ import annotations

from kvtransfer.chunks.keys import base_key
from kvtransfer.stores.interface import StoredEntry
from kvtransfer.stores.record import ChunkFacts, ChunkRecord, Identity

FACTS = ChunkFacts("naive", "tokens", "bfloat16", (2, 256, 8), 256)


def key_of(number=0, model="org/model"):
    return base_key(model, 1, 0, f"{number:032x}")


def entry(
    number=0, *, model="org/model", nbytes=100, created_s=0, facts=FACTS, seal="xxh3", tenant=""
):
    identity = Identity.of(
        key_of(number, model), facts, nbytes=nbytes, created=created_s, seal=seal, tenant=tenant
    )
    return StoredEntry.of(ChunkRecord(identity, b"tag"))
