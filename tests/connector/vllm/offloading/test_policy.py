"""Our learned eviction as a policy of vLLM's host memory, in each version of vLLM."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from vllm.v1.kv_offload.base import ReqContext
from vllm.v1.kv_offload.cpu.policies.base import ChunkStatus

from kvtransfer.connector.vllm.offloading.policy import LearnedPolicy
from kvtransfer.scheduling.index import Index
from tests.connector.engines import ROOT
from tests.connector.vllm.offloading.engine_of_rows import key
from tests.connector.vllm.offloading.loads import SLOTS, chats, serve_by_vllm
from tests.connector.vllm_variants import OTHER_VERSIONS

pytestmark = pytest.mark.vllm


def serve_by_ours(requests):
    """The same by our own index, whose policy is the reference."""
    index = Index(SLOTS, "learned")
    served = []
    for keys in requests:
        served.append(index.leading(keys))
        index.note_request(keys)
        held = index.pin_all(keys)
        missing = [name for name in keys if name not in index]
        index.unpin_all([*index.claim_all(missing), *(slot for slot in held if slot is not None)])
    return served


def test_it_serves_what_our_own_index_serves():
    requests = list(chats())
    served = serve_by_vllm("LearnedPolicy", requests)
    assert served == serve_by_ours(requests)
    assert sum(served) > 1.2 * sum(serve_by_vllm("lru", requests))


@pytest.mark.parametrize("folder", OTHER_VERSIONS, ids=lambda folder: folder.name)
def test_every_version_of_vllm_is_served_alike(folder):
    paths = [str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-m", "tests.connector.vllm.offloading.loads", "LearnedPolicy"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    version, served = json.loads(done.stdout.splitlines()[-1])
    assert version == folder.name.removeprefix("vllm-")
    assert served == serve_by_vllm("LearnedPolicy", chats())


def holding(policy, *keys):
    """Insert ``keys`` for a request of their own, and have them ready."""
    request = ReqContext(str(keys))
    policy.on_store_miss(keys, request)
    for slot, name in enumerate(keys):
        chunk = ChunkStatus(slot)
        policy.insert(name, chunk)
        chunk.ref_cnt = 0
        policy.mark_evictable(name)
    return request


def test_it_evicts_all_that_is_asked_for_or_nothing():
    policy = LearnedPolicy(4)
    keys = [key(number) for number in range(4)]
    holding(policy, *keys)
    policy.mark_non_evictable(keys[0])
    assert policy.evict(3, {keys[1]}) is None
    assert all(policy.get(name) for name in keys)
    gone = policy.evict(2, {keys[1]})
    assert {name for name, _ in gone} == set(keys[2:])
    assert [chunk.chunk_id for _, chunk in gone] == [3, 2], "from the end of a request"
    assert [policy.get(name) is None for name in keys] == [False, False, True, True]


def test_a_request_counts_once_however_often_it_is_named():
    policy = LearnedPolicy(4)
    keys = [key(number) for number in range(3)]
    request = holding(policy, *keys)
    policy.touch(keys, request)
    policy.on_request_finished([keys], set(keys), set(), request)
    assert policy._learned._queues._requests == 1


def test_a_chunk_whose_store_failed_is_gone():
    policy = LearnedPolicy(4)
    policy.insert(key(1), ChunkStatus(0))
    policy.remove(key(1))
    assert policy.get(key(1)) is None
    assert policy.evict(1, set()) is None
    holding(policy, key(1))
    policy.clear()
    assert policy.get(key(1)) is None


def test_what_is_generated_goes_with_the_request_that_it_continues():
    policy = LearnedPolicy(4)
    request = holding(policy, key(0), key(1))
    for slot in (2, 3):
        chunk = ChunkStatus(slot)
        policy.on_store_miss([key(slot)], request)
        policy.insert(key(slot), chunk)
        chunk.ref_cnt = 0
        policy.mark_evictable(key(slot))
    assert [name for name, _ in policy.evict(4, set())] == [key(i) for i in (3, 2, 1, 0)]
