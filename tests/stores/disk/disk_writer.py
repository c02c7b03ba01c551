"""Processes that put chunks into one folder: run as a script, so that they fork before any thread.

``kills URL N``: writers one after the other, each killed at a random moment, until N have died
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
from kvtransfer.stores.schemes import scheme_of

PATIENT = StoreSettings(timeout_s=60.0)
"""A busy machine is no failure."""
CHUNK = ChunkFormat("split", "uint8", (3, 2, 7, 11, 131), tokens=7, nbytes=60522)


def key_of(name: object) -> str:
    return base_key("org/model", 1, 0, hashlib.sha256(str(name).encode()).hexdigest()[:32])


def payload_of(key: str) -> bytes:
    return random.Random(key).randbytes(CHUNK.nbytes)


def write_until_killed(url: str, writer: int, opened: int) -> None:
    store = open_store(url, CHUNK, PATIENT)
    os.write(opened, b"!")
    for number in count():
        key = key_of((writer, number))
        store.put(key, memoryview(payload_of(key)))


def kills(url: str, wanted: int) -> int:
    chance, torn, folder = random.Random(0), set[str](), folder_of(url)
    scheme_of(url).store_class().check(url, PATIENT)  # imports a library once
    for writer in range(10_000):
        if min(len(torn), sum(1 for _ in folder.rglob("*.kv"))) >= wanted:
            break
        ready, opened = os.pipe()
        pid = os.fork()
        if pid == 0:
            write_until_killed(url, writer, opened)
        os.close(opened)
        os.read(ready, 1)
        os.close(ready)
        time.sleep(chance.uniform(0.002, 0.03))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        torn |= {path.name for path in folder.rglob("*.part")}
    return len(torn)


def folder_of(url: str) -> Path:
    return Path(f"/{url.partition('://')[2].partition('/')[2]}")


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
