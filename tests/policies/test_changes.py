"""The default policy beside LRU, ARC and S3-FIFO on short loads that change."""

import tracemalloc

import pytest

from benchmarks.bench_policy import hits_of, worst_ratio
from benchmarks.changing_loads import CHANGES, Shape, changing_load
from benchmarks.s3fifo import S3FIFO
from kvtransfer.policies import POLICIES
from kvtransfer.policies.lru import LRU
from kvtransfer.policies.miniature import MiniatureCache
from kvtransfer.policies.set_dueling import SetDueling, stride_of
from kvtransfer.scheduling.index import Index

SHORT = Shape(phase_requests=700, pause_requests=40.0, documents=150)
RIVALS = ("lru", "arc", "s3fifo")


@pytest.fixture
def _s3fifo(monkeypatch):
    monkeypatch.setitem(POLICIES, "s3fifo", S3FIFO)


@pytest.mark.usefixtures("_s3fifo")
@pytest.mark.parametrize("name", CHANGES)
def test_whatever_changes_the_default_stays_near_the_best(name):
    requests = changing_load(name, seed=11, shape=SHORT)
    slots = len({key for keys in requests for key in keys}) // 20
    hits = {policy: hits_of(requests, policy, slots) for policy in ("learned", *RIVALS)}
    best = max(sum(hits[policy]) for policy in RIVALS)
    assert sum(hits["learned"]) >= 0.98 * best
    assert worst_ratio(requests, hits["learned"], hits["lru"]) >= 0.7


@pytest.mark.parametrize("name", CHANGES)
def test_a_changing_load_is_the_same_each_time_and_of_prefixes(name):
    requests = changing_load(name, seed=2, shape=SHORT)
    assert requests == changing_load(name, seed=2, shape=SHORT)
    before = {}
    for keys in requests:
        assert len(set(keys)) == len(keys)
        for one, next_ in zip([None, *keys], keys, strict=False):
            assert before.setdefault(next_, one) == one


def test_set_dueling_costs_little_memory_a_chunk():
    slots = 50_000
    taken = {}
    for policy in ("learned", "lru"):
        tracemalloc.start()
        index = Index(slots, policy)
        for request in range(slots // 24 + 1):
            keys = [f"{request:016x}{i:016x}" for i in range(24)]
            index.note_request(keys)
            index.unpin_all(index.claim_all(keys[: index.room]))
        taken[policy] = tracemalloc.get_traced_memory()[0] / slots
        tracemalloc.stop()
    assert taken["learned"] <= 300
    assert taken["learned"] > taken["lru"]


def test_a_miniature_is_hit_as_a_cache_of_its_size():
    requests = changing_load("scans", seed=3, shape=SHORT)[:800]
    small = MiniatureCache(LRU(300), 300)
    assert sum(small.serve(keys) for keys in requests) == sum(hits_of(requests, "lru", 300))


@pytest.mark.parametrize(
    ("slots", "stride"), [(1, 1), (512, 1), (513, 2), (1024, 2), (10**6, 1024)]
)
def test_a_miniature_is_small_whatever_the_cache(slots, stride):
    assert stride_of(slots) == stride


def test_the_policy_that_serves_more_leads_and_gives_way():
    few = SetDueling([LRU(20), POLICIES["arc"](20)], slots=20, stride=1)
    for number in range(400):
        few.note_request([f"scan{number}"])
        few.note_request([f"again{number // 2 % 15}"])
    assert few.leader == 1
