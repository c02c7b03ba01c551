"""Requests for chunks, and vLLM's host memory that serves them; runs with any version of vLLM.

``python -m tests.connector.vllm.offloading.loads POLICY``: prints which chunks of each request were
served, as JSON, with vLLM's version. The path decides which vLLM that is.
"""

from __future__ import annotations

import json
import random
import sys

MODULE = "kvtransfer.connector.vllm.offloading.policy"
SLOTS = 60


def chats():
    """Conversations that go on, and long questions that never come again."""
    chance = random.Random(3)
    turns = [0] * 40
    for number in range(900):
        if chance.random() < 0.5:
            chat = chance.randrange(max(0, number // 30 - 2), number // 30 + 3)
            turns[chat] += 1
            yield [f"chat{chat}.{i}" for i in range(min(2 * turns[chat], 20))]
        else:
            yield [f"question{number}.{i}" for i in range(chance.randrange(1, 15))]


def serve_by_vllm(name, requests, slots=SLOTS):
    """Which leading chunks of each request vLLM's host memory has under the policy ``name``."""
    from vllm.v1.kv_offload.base import ReqContext, make_offload_key
    from vllm.v1.kv_offload.cpu.manager import CPUOffloadingManager

    manager = CPUOffloadingManager(slots, name, MODULE if name == "LearnedPolicy" else None)
    served = []
    for number, chunks in enumerate(requests):
        keys = [make_offload_key(chunk.encode(), 0) for chunk in chunks]
        context = ReqContext(f"request-{number}")
        for position, key in enumerate(keys, 1):
            context.set_offload_key_position(key, 16 * position)
        manager.on_new_request(context)
        held = [manager.lookup(key, context).name == "HIT" for key in keys]
        hits = held.index(False) if False in held else len(held)
        manager.prepare_load(keys[:hits], context)
        output = manager.prepare_store(keys, context)
        manager.complete_store(output.keys_to_store, context)
        manager.complete_load(keys[:hits], context)
        manager.on_request_finished(context)
        served.append(hits)
    return served


if __name__ == "__main__":
    import vllm

    print(json.dumps([vllm.__version__, serve_by_vllm(sys.argv[1], chats())]))
