"""What a router hears of a real engine: our events beside vLLM's own, of the same blocks."""

from __future__ import annotations

import time
from contextlib import contextmanager
from itertools import count

import msgspec
import pytest
import zmq
from vllm.distributed.kv_events import BlockStored, KVEventBatch

from tests.connector.engine_process import Request
from tests.connector.engines import EngineError
from tests.connector.inputs import CHUNK_TOKENS, connected, prompt

pytestmark = pytest.mark.vllm

LONG = prompt(600, seed=1)
SECRET = prompt(300, seed=2)
SHORT = Request(prompt(20, seed=3))
WHOLE_TOKENS = 600 // CHUNK_TOKENS * CHUNK_TOKENS
DEADLINE_S = 240.0


class Subscriber:
    """Hears what is published at ``endpoint``; connects before anybody has bound it."""

    def __init__(self, endpoint):
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.SUBSCRIBE, b"")
        self._socket.connect(endpoint)
        self._decoder = msgspec.msgpack.Decoder(KVEventBatch)
        self.stored = []

    def hear(self):
        """Everything that has arrived."""
        while self._socket.poll(200):
            topic, _, payload = self._socket.recv_multipart()
            assert topic == b""
            events = self._decoder.decode(payload).events
            self.stored += [event for event in events if isinstance(event, BlockStored)]

    def blocks(self, **place):
        """Token ids by the hash of each block that was stored at ``place``."""
        found = {}
        for event in self.stored:
            if all(getattr(event, name) == value for name, value in place.items()):
                size = event.block_size
                for i, block in enumerate(event.block_hashes):
                    found[block] = event.token_ids[i * size : (i + 1) * size]
        return found

    def close(self):
        self._context.destroy(linger=0)


@contextmanager
def subscribed(endpoint):
    subscriber = Subscriber(endpoint)
    try:
        yield subscriber
    finally:
        subscriber.close()


def routed(model, url, folder, endpoint):
    """An engine that publishes at ``endpoint``, with every tier."""
    events = {"enable_kv_cache_events": True, "publisher": "zmq", "endpoint": endpoint}
    return connected(
        model,
        url,
        options={"kv_events_config": events},
        local_storage=str(folder),
        max_local_storage_size=0.1,
        kv_events="vllm-router",
        kv_events_pool="ours",
    )


def test_blocks_in_each_tier_are_told_of_by_the_names_of_the_device_events(
    engines, model, server, tmp_path
):
    endpoint = f"ipc://{tmp_path}/events"
    tiers = (
        {"medium": "CPU", "ownership": None},
        {"medium": "STORAGE", "locality": "LOCAL", "ownership": None},
        {"medium": "STORAGE", "locality": "REMOTE", "ownership": "ours"},
    )
    seeds = count(10)
    setup = routed(model, server.url, tmp_path / "chunks", endpoint)
    with subscribed(endpoint) as router, engines.start(setup) as engine:
        deadline_s = time.monotonic() + DEADLINE_S
        while not router.stored:  # what is published before it has subscribed is lost
            assert time.monotonic() < deadline_s
            engine.generate(Request(prompt(40, seed=next(seeds))))  # a block, and no chunk
            router.hear()
        engine.generate(Request(LONG))
        engine.generate(Request(SECRET, cache_salt="s"))
        while not all(len(router.blocks(**tier)) >= WHOLE_TOKENS // 32 for tier in tiers):
            assert time.monotonic() < deadline_s, [router.blocks(**tier) for tier in tiers]
            engine.generate(SHORT)  # reports come with steps
            router.hear()
        device = router.blocks(medium="GPU")
        for tier in tiers:
            ours = router.blocks(**tier)
            assert ours.items() <= device.items()
            assert sorted(map(tuple, ours.values())) == sorted(
                tuple(LONG[i : i + 32]) for i in range(0, WHOLE_TOKENS, 32)
            )
        router.stored.clear()
        assert engine.reset()  # routers drop the engine's blocks then
        while not router.blocks(**tiers[0]).keys() >= ours.keys():
            assert time.monotonic() < deadline_s, router.blocks(**tiers[0])
            engine.generate(SHORT)
            router.hear()


def test_without_vllms_events_the_setting_is_refused(v1_engines, model):
    with pytest.raises(EngineError, match="kv_events=dynamo adds to vLLM's KV events"):
        v1_engines.start(connected(model, None, kv_events="dynamo"))
