"""Processes that put chunks into one folder: run as a script, so that they fork before any thread.

``kills FOLDER N``: writers one after the other, each killed at a random moment, until N have died
while they wrote and as many chunks are whole; ends with the count of those that died so.
``share URL SEED ROUNDS``: one writer and reader among others; ends with a count of hits, or with
the key of a chunk that was not the one put.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sys
import time
from contextlib import closing
from itertools import count
from pathlib import Path

from kvtransfer.chunks.keys import base_key
from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.disk.store import DiskStore
from kvtransfer.stores.formatted import FormattedStore

PATIENT = StoreSettings(timeout_s=60.0)
"""A busy machine is no failure."""
CHUNK = ChunkFormat("split", "uint8", (3, 2, 7, 11, 131), tokens=7, nbytes=60522)


def key_of(name: object) -> str:
    return base_key("org/model", 1, 0, hashlib.sha256(str(name).encode()).hexdigest()[:32])


def payload_of(key: str) -> bytes:
    return random.Random(key).randbytes(CHUNK.nbytes)


def write_until_killed(folder: str, writer: int) -> None:
    store = FormattedStore(DiskStore(folder, PATIENT), CHUNK)
    for number in count():
        key = key_of((writer, number))
        store.put(key, memoryview(payload_of(key)))


def kills(folder: str, wanted: int) -> int:
    chance, torn = random.Random(0), set[str]()
    for writer in range(10_000):
        if min(len(torn), sum(1 for _ in Path(folder).rglob("*.kv"))) >= wanted:
            break
        pid = os.fork()
        if pid == 0:
            write_until_killed(folder, writer)
        time.sleep(chance.uniform(0.002, 0.03))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        torn |= {path.name for path in Path(folder).rglob("*.part")}
    return len(torn)


def share(url: str, seed: int, rounds: int) -> int:
    chance, hits = random.Random(seed), 0
    target = bytearray(CHUNK.nbytes)
    with closing(open_store(url, CHUNK, PATIENT)) as store:
        for _ in range(rounds):
            key = key_of(chance.randrange(40))
            if store.get_into(key, memoryview(target)):
                hits += 1
                if target != payload_of(key):
                    sys.exit(f"wrong bytes for {key}")
            elif not store.put(key, memoryview(payload_of(key))):
                sys.exit(f"{key} was not taken")
    return hits


if __name__ == "__main__":
    what, where, *numbers = sys.argv[1:]
    print({"kills": kills, "share": share}[what](where, *map(int, numbers)))
