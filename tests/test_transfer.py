from __future__ import annotations

import time
from contextlib import contextmanager

import numpy as np
import pytest
import redis
import torch

from kvtransfer import ConfigError, KVTransfer, PagedCaches, TransferConfig
from kvtransfer.stores.embedded.server import EmbeddedServer

BLOCKS, BLOCK_TOKENS, CHUNK_TOKENS = 16, 4, 8
TOKENS = list(range(30))  # three chunks and a rest


def paged():
    layers = [torch.randn(BLOCKS, 2, BLOCK_TOKENS, 6) for _ in range(2)]
    return layers, PagedCaches.split(layers, CHUNK_TOKENS)


def opened(caches, facts=None, **settings):
    settings = {"chunk_size": CHUNK_TOKENS, "max_local_cpu_size": 0.001, **settings}
    config = TransferConfig.of(**settings)
    return KVTransfer.open(config, caches, model_name="m", facts=facts or {})


def same(layers, block_ids, others, other_ids):
    return all(torch.equal(a[block_ids], b[other_ids]) for a, b in zip(layers, others, strict=True))


@pytest.fixture(scope="module")
def server():
    with EmbeddedServer(64 << 20) as running:
        yield running


def test_host_memory_alone_serves_what_it_saved():
    layers, caches = paged()
    with opened(caches) as kv:
        assert kv.lookup(TOKENS) == 0
        assert kv.save(TOKENS, range(8)).wait() == 24
        assert kv.save(TOKENS, range(8)).wait() == 0  # held already
        assert kv.lookup(TOKENS) == 24
        assert kv.lookup(TOKENS[:23]) == 16
        assert kv.lookup([7, *TOKENS[1:]]) == 0
        assert kv.load(TOKENS, range(8, 16)).wait() == 24
        assert same(layers, range(6), layers, range(8, 14))


def test_skipped_tokens_are_left_as_they_are():
    layers, caches = paged()
    with opened(caches) as kv:
        kv.save(TOKENS, range(8)).wait()
        before = [layer.clone() for layer in layers]
        assert kv.load(TOKENS, range(8, 16), skip_tokens=12).wait() == 12
        assert same(layers, range(8, 11), before, range(8, 11))
        assert same(layers, range(11, 14), layers, range(3, 6))


def test_another_process_finds_it_in_the_store_and_prefetches(server):
    layers, caches = paged()
    with opened(caches, remote_url=server.url) as kv:
        kv.save(TOKENS, range(8)).wait()
    others, other_caches = paged()
    with opened(other_caches, remote_url=server.url) as kv:
        assert kv.lookup(TOKENS) == 24
        assert kv.prefetch(TOKENS).wait() == 24
        server_calls = kv.load(TOKENS, range(8))
        assert server_calls.wait(10) == 24
        assert same(others, range(6), layers, range(6))


@pytest.mark.parametrize("serdes", [("lossless", "naive"), ("naive", "auto"), ("auto", "lossless")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_engines_that_compress_and_those_that_do_not_share(server, dtype, serdes):
    layers, others = (
        [torch.randn(BLOCKS, 2, BLOCK_TOKENS, 512).to(dtype) for _ in range(2)] for _ in range(2)
    )
    place = {"remote_url": server.url, "namespace": f"{dtype}{serdes}", "max_local_cpu_size": 0.01}
    writes, reads = ({"remote_serde": serde, **place} for serde in serdes)
    with opened(PagedCaches.split(layers, CHUNK_TOKENS), **writes) as kv:
        kv.save(TOKENS, range(8)).wait()
    with opened(PagedCaches.split(others, CHUNK_TOKENS), **reads) as kv:
        assert kv.lookup(TOKENS) == 24
        assert kv.load(TOKENS, range(8, 16)).wait(10) == 24
        assert same(layers, range(6), others, range(8, 14))


def test_lossless_is_refused_for_numbers_of_one_byte(server):
    caches = PagedCaches.split([torch.zeros(BLOCKS, 2, BLOCK_TOKENS, 8, dtype=torch.int8)], 8)
    with pytest.raises(ConfigError, match=r"remote_serde=lossless .* holds int8; set"):
        opened(caches, remote_url=server.url, remote_serde="lossless")


def test_the_store_serves_those_with_the_key_alone(server, tmp_path):
    layers, caches = paged()
    keys = {name: tmp_path / name for name in ("ours", "theirs")}
    for name, path in keys.items():
        path.touch(0o600)
        path.write_text(name * 8)
    sealed = {"remote_url": server.url, "namespace": "sealed"}
    with opened(caches, **sealed, encryption_key_file=str(keys["ours"])) as kv:
        kv.save(TOKENS, range(8)).wait()
    others, other_caches = paged()
    with opened(other_caches, **sealed, encryption_key_file=str(keys["ours"])) as kv:
        assert kv.load(TOKENS, range(8)).wait(10) == 24
        assert same(others, range(6), layers, range(6))
    with opened(other_caches, **sealed, encryption_key_file=str(keys["theirs"])) as kv:
        assert kv.load(TOKENS, range(8)).wait(10) == 0


def test_what_is_written_back_is_in_the_store_once_it_has_left_or_at_the_end(server):
    layers, caches = paged()
    size = 4.5 * caches.chunk.nbytes / 2**30  # two requests' chunks don't fit
    later = {"write_policy": "write_back", "namespace": "later", "remote_url": server.url}
    other_tokens = [7, *TOKENS]
    with opened(caches, max_local_cpu_size=size, **later) as kv:
        assert kv.save(TOKENS, range(8)).wait() == 24
        for _ in range(3):  # what has left makes room
            kv.save(other_tokens, range(8)).wait()
    others, other_caches = paged()
    with opened(other_caches, **later) as kv:
        assert kv.lookup(other_tokens) == 24
        assert kv.load(other_tokens, range(8)).wait() == 24
        assert same(others, range(6), layers, range(6))


def test_a_folder_alone_keeps_it_over_a_restart(tmp_path):
    folder = {"local_storage": str(tmp_path), "max_local_storage_size": 0.001}
    layers, caches = paged()
    with opened(caches, **folder) as kv:
        assert kv.save(TOKENS, range(8)).wait() == 24
    others, other_caches = paged()
    with opened(other_caches, **folder) as kv:
        assert kv.lookup(TOKENS) == 24
        assert kv.load(TOKENS, range(8)).wait(10) == 24
        assert same(others, range(6), layers, range(6))


def test_a_store_in_memory_serves_what_left_host_memory():
    layers, caches = paged()
    with opened(caches, remote_url="memory://", local_cpu=False) as kv:
        saved = kv.save(TOKENS, range(8))
        assert saved.wait() == 24
        while kv._planner.is_putting:
            saved.done()
        assert kv.lookup(TOKENS) == 24
        assert kv.load(TOKENS, range(8, 16)).wait() == 24
        assert same(layers, range(6), layers, range(8, 14))


@pytest.mark.parametrize(
    "difference", [{"facts": {"weights": "other"}}, {"namespace": "other"}, {"model_name": "n"}]
)
def test_what_differs_is_never_found(server, difference):
    _, caches = paged()
    tokens = [5, *TOKENS]
    with opened(caches, remote_url=server.url) as kv:
        kv.save(tokens, range(8)).wait()
    with opened(caches, remote_url=server.url) as kv:
        assert kv.lookup(tokens) == 24
    with opened(caches, remote_url=server.url, **difference) as kv:
        assert kv.lookup(tokens) == 0


def test_a_store_that_dies_costs_the_tokens_it_had(server):
    _, caches = paged()
    with EmbeddedServer(64 << 20) as mortal:
        with opened(caches, remote_url=mortal.url) as kv:
            kv.save(TOKENS, range(8)).wait()
        kv = opened(caches, remote_url=mortal.url, local_cpu=False)
        with kv:
            assert kv.lookup(TOKENS) == 24
            mortal.close()
            assert kv.load(TOKENS, range(8)).wait(30) == 0
            assert kv.save(TOKENS, range(8)).wait(30) == 24


def test_little_host_memory_saves_what_fits():
    _, caches = paged()
    room = 2.5 * caches.chunk.nbytes / 2**30
    with opened(caches, max_local_cpu_size=room) as kv:
        assert kv.save(TOKENS, range(8)).wait() == 16
        assert kv.lookup(TOKENS) == 16


@pytest.mark.parametrize(
    ("block_ids", "message"),
    [
        (range(5), "has 5 blocks, .* take 6"),
        ([], "has 0 blocks"),
        ([0, 1, 2, 3, 4, 16], r"block_ids=\[16\] are not in \[0, 16\)"),
        ([0, 1, 2, 3, 4, -1], r"block_ids=\[-1\]"),
        ([0, 1, 2, 3, 4, 5, 1 << 40], "1099511627776"),
        ([0, 1, 2, 3, 4, 0], r"block_ids=\[0\] are named twice"),
        ([0, 1, 2, 3, 4, True], r"block_ids=\[True\] are no integers"),
        ([0, 1, 2, 3, 4, 5.0], r"block_ids=\[5\.0\] are no integers"),
        ("012345", "are no integers"),
        (None, "block_ids=None is no sequence"),
        (7, "block_ids=7 is no sequence"),
    ],
)
def test_wrong_blocks_are_refused_and_nothing_is_lost(block_ids, message):
    layers, caches = paged()
    room = 3.5 * caches.chunk.nbytes / 2**30
    with opened(caches, max_local_cpu_size=room) as kv:
        kv.save(TOKENS, range(8)).wait()
        before = [layer.clone() for layer in layers]
        for call, tokens in ((kv.load, TOKENS), (kv.save, [7, *TOKENS]), (kv.load, [7, *TOKENS])):
            with pytest.raises(ValueError, match=message):
                call(tokens, block_ids)
        assert kv.lookup([7, *TOKENS]) == 0
        assert same(layers, range(BLOCKS), before, range(BLOCKS))
        assert kv.load(TOKENS, range(8, 16)).wait() == 24


@pytest.mark.parametrize("skip", [-4, 3, 32, True, 4.0, "4", None])
def test_a_wrong_part_to_skip_is_refused(skip):
    _, caches = paged()
    with opened(caches) as kv:
        kv.save(TOKENS, range(8)).wait()
        with pytest.raises(ValueError, match="skip_tokens="):
            kv.load(TOKENS, range(8), skip_tokens=skip)
        assert kv.load(TOKENS, range(8), skip_tokens=28).wait() == 0


@pytest.mark.parametrize(
    "wrong", [None, 7, "text", [*TOKENS, 1.0], [*TOKENS, True], [*TOKENS, None], [-1] * 8]
)
def test_wrong_tokens_are_refused_by_every_call(wrong):
    _, caches = paged()
    with opened(caches) as kv:
        for call in (kv.lookup, kv.prefetch):
            with pytest.raises(ValueError, match=r"token.ids"):
                call(wrong)
        for call in (kv.load, kv.save):
            with pytest.raises(ValueError, match=r"token.ids"):
                call(wrong, range(8))


def test_numbers_of_other_libraries_are_numbers():
    layers, caches = paged()
    with opened(caches) as kv:
        assert kv.save(torch.tensor(TOKENS), np.arange(8)).wait() == 24
        assert kv.load(np.array(TOKENS), torch.arange(8, 16), np.int64(8)).wait() == 16
        assert same(layers, range(2, 6), layers, range(10, 14))


def test_nothing_can_be_asked_of_what_is_closed():
    _, caches = paged()
    kv = opened(caches)
    transfer = kv.save(TOKENS, range(8))
    kv.close()
    kv.close()
    assert transfer.wait() == 24
    for call in (
        lambda: kv.lookup(TOKENS),
        lambda: kv.prefetch(TOKENS),
        lambda: kv.load(TOKENS, range(8)),
        lambda: kv.save(TOKENS, range(8)),
        kv.__enter__,
    ):
        with pytest.raises(RuntimeError, match="closed; open another"):
            call()


def test_waiting_may_be_bounded():
    _, caches = paged()
    with opened(caches) as kv:
        transfer = kv.save(TOKENS, range(8))
        transfer.wait()
        assert transfer.done()
        endless = kv._transfer({99: 8})
        with pytest.raises(TimeoutError, match=r"0\.01 s"):
            endless.wait(0.01)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"chunk_size": 16}, "chunk_size=16 but the caches were cut for chunks of 8"),
        ({"max_local_cpu_size": 1e-9}, "holds no chunk"),
        ({"remote_url": "redis://h:port"}, "malformed"),
    ],
)
def test_what_can_not_work_is_refused_at_once(settings, message):
    _, caches = paged()
    with pytest.raises(ConfigError, match=message):
        opened(caches, **settings)


def test_a_device_without_streams_is_refused():
    caches = PagedCaches.split([torch.zeros(4, 2, 4, 6, device="meta")], CHUNK_TOKENS)
    with pytest.raises(ConfigError, match="meta is not supported"):
        opened(caches)


@contextmanager
def lost(server, kind):
    """What a server loses or refuses while it lasts."""
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
        if kind == "refused":
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", 1)
        yield client
        client.config_set("maxmemory", 64 << 20)
        client.config_set("maxmemory-policy", "allkeys-lru")


class Refusals:
    def __init__(self, kv):
        self._kv = kv
        self._count = 0

    def count(self):
        self._count += self._kv._executor.metrics.take().get("put_failed_chunks", 0)
        return self._count


@pytest.mark.parametrize("kind", ["flushed", "expired", "refused"])
def test_what_the_store_lost_or_refused_is_put_again_while_host_memory_holds_it(kind, monkeypatch):
    monkeypatch.setattr("kvtransfer.scheduling.reoffer.EVERY_S", 0.0)
    layers, caches = paged()
    with EmbeddedServer(64 << 20) as server, opened(caches, remote_url=server.url) as kv:
        with lost(server, kind) as client:
            kv.save(TOKENS, range(8)).wait()
            if kind == "refused":
                refused = Refusals(kv)
                until(kv, lambda: refused.count() == 3)
            else:
                until(kv, lambda: client.dbsize() == 6)
            if kind == "expired":
                for name in client.scan_iter():
                    client.pexpire(name, 1)
                until(kv, lambda: client.dbsize() == 0)
            if kind == "flushed":
                client.flushall()
        with redis.Redis.from_url(server.url) as client:
            assert client.dbsize() == 0
            until(kv, lambda: client.dbsize() == 6, lambda: kv.save(TOKENS, range(8)).wait())
        others, other_caches = paged()
        with opened(other_caches, remote_url=server.url) as other:
            assert other.load(TOKENS, range(8)).wait(30) == 24
            assert same(others, range(6), layers, range(6))


def test_what_came_from_the_store_is_put_again_too(server, monkeypatch):
    monkeypatch.setattr("kvtransfer.scheduling.reoffer.EVERY_S", 0.0)
    _, caches = paged()
    with opened(caches, remote_url=server.url) as kv:
        kv.save(TOKENS, range(8)).wait()
    _, caches = paged()
    with (
        opened(caches, remote_url=server.url) as kv,
        redis.Redis.from_url(server.url) as client,
    ):
        assert kv.load(TOKENS, range(8)).wait(30) == 24
        client.flushall()
        until(kv, lambda: client.dbsize() == 6, lambda: kv.save(TOKENS, range(8)).wait())


def until(kv, condition, act=lambda: None, timeout_s=60.0):
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, condition
        act()
        kv._take_reports(0.01)
