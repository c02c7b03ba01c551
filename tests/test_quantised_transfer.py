"""A transfer whose chunks hold quantised numbers brings back nearly what it saved, in fewer bytes."""

from __future__ import annotations

import pytest
import torch

from kvtransfer import ConfigError, KVTransfer, PagedCaches, TransferConfig
from kvtransfer.stores.embedded.server import EmbeddedServer

BLOCKS, BLOCK_TOKENS, CHUNK_TOKENS, HEADS, DIM = 32, 16, 64, 2, 64
TOKENS = list(range(200))  # three chunks and a rest
SAVED = 192
CODECS = ("int8", "int5", "int4")


def paged(seed=0):
    torch.manual_seed(seed)
    shape = (BLOCKS, HEADS, BLOCK_TOKENS, 2 * DIM)
    layers = [torch.randn(shape, dtype=torch.bfloat16) for _ in range(2)]
    return layers, PagedCaches.split(layers, CHUNK_TOKENS)


def opened(caches, **settings):
    settings = {"chunk_size": CHUNK_TOKENS, "max_local_cpu_size": 0.01, **settings}
    return KVTransfer.open(TransferConfig.of(**settings), caches, model_name="m", facts={})


def error(layers, block_ids, others, other_ids):
    """The largest difference, in parts of the numbers' range."""
    return max(
        float((a[list(block_ids)].float() - b[list(other_ids)].float()).abs().max()) / 8
        for a, b in zip(layers, others, strict=True)
    )


@pytest.fixture(scope="module")
def server():
    with EmbeddedServer(64 << 20) as running:
        yield running


@pytest.mark.parametrize("codec", CODECS)
def test_another_process_loads_nearly_the_same_numbers(server, codec):
    layers, caches = paged()
    with opened(caches, remote_url=server.url, remote_serde=codec) as kv:
        assert kv.save(TOKENS, range(13)).wait() == SAVED
        assert kv.load(TOKENS, range(16, 29)).wait() == SAVED
        local = error(layers, range(12), layers, range(16, 28))
    others, other_caches = paged(seed=1)
    with opened(other_caches, remote_url=server.url, remote_serde=codec) as kv:
        assert kv.load(TOKENS, range(13)).wait() == SAVED
    assert 0 < error(layers, range(12), others, range(12)) == local < 0.6 / int(codec[-1:]) ** 2


def test_what_one_codec_wrote_no_other_loads(server):
    layers, caches = paged()
    token_ids = [7, *TOKENS]
    for codec in ("naive", *CODECS):
        with opened(caches, remote_url=server.url, remote_serde=codec) as kv:
            assert kv.load(token_ids, range(13)).wait() == 0
            assert kv.save(token_ids, range(13)).wait() == SAVED
    others, other_caches = paged(seed=2)
    with opened(other_caches, remote_url=server.url) as kv:
        assert kv.load(token_ids, range(13)).wait() == SAVED
    assert error(layers, range(12), others, range(12)) == 0, "the exact one is exact"


def test_the_end_of_a_chunk_is_loaded_alone():
    layers, caches = paged()
    with opened(caches, remote_serde="int8") as kv:
        kv.save(TOKENS, range(13)).wait()
        before = [layer.clone() for layer in layers]
        skip = 2 * BLOCK_TOKENS
        assert kv.load(TOKENS, range(16, 29), skip_tokens=skip).wait() == SAVED - skip
    assert error(layers, (16, 17), before, (16, 17)) == 0
    assert 0 < error(layers, range(18, 28), layers, range(2, 12)) < 0.01


@pytest.mark.parametrize(
    ("caches", "codec", "message"),
    [
        (lambda: paged()[1], "cachegen", "different levels by layer"),
        (lambda: PagedCaches.split([torch.zeros(4, 2, 16, 128)] * 2, 32), "int8", "32 tokens"),
        (
            lambda: PagedCaches.split([torch.zeros(4, 2, 16, 128, dtype=torch.int8)], 64),
            "int4",
            "numbers of int8",
        ),
        (lambda: PagedCaches.content([torch.zeros(4, 1, 16, 576)], 64), "int8", "content"),
    ],
)
def test_what_no_codec_fits_is_refused(caches, codec, message):
    views = caches()
    with pytest.raises(ConfigError, match=f"remote_serde={codec} .*{message}"):
        opened(views, remote_serde=codec, chunk_size=views.chunk.tokens)
