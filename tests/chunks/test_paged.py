import pytest
import torch

from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.chunks.paged import PagedCaches
from kvtransfer.errors import ConfigError
from kvtransfer.kernels import open_copy
from tests.kernels.layouts import ordered, patterned, same

SIZES = {"L": 3, "B": 4, "H": 2, "N": 8, "C": 12}


def caches(**changes):
    return ordered("LBNHC", torch.float16, {**SIZES, **changes})


def amx(dtype, **changes):
    sizes = {**SIZES, "N": 16, "C": 32, **changes}
    return PagedCaches.cpu_attention_amx(ordered("LBHNC", dtype, sizes), 32)


def test_the_chunk_is_described_as_its_bytes_are():
    assert PagedCaches.split(caches(), 32).chunk == ChunkFormat.split("float16", 3, 32, 2, 6)
    assert PagedCaches.content(caches(), 32).chunk == ChunkFormat.content("float16", 3, 32, 2, 12)
    cpu = PagedCaches.cpu_attention(ordered("LBHNC", torch.float16, SIZES), 32)
    assert cpu.chunk == ChunkFormat.split("float16", 3, 32, 2, 6)
    packed = amx(torch.bfloat16)
    assert packed.chunk == ChunkFormat.split("bfloat16", 3, 32, 2, 16)
    assert (packed.blocks, packed.block_bytes, packed.kernel_blocks([3, 1])) == (4, 6144, [3, 1])


def test_a_latent_cache_is_one_plane_a_layer():
    layers = [patterned(torch.bfloat16, 5, 1, 16, 576) for _ in range(2)]
    paged = PagedCaches.content(layers, 32)
    chunk = torch.zeros(2, 32, 1, 576, dtype=torch.bfloat16)
    open_copy(paged.planes).gather_blocks([4, 2], chunk)
    for layer in range(2):
        assert same(chunk[layer, :, 0], layers[layer][[4, 2], 0].reshape(32, 576))


def test_a_callers_own_keys_and_values():
    keys = [patterned(torch.float32, 4, 8, 2, 6) for _ in range(2)]
    values = [patterned(torch.float32, 4, 8, 2, 6) for _ in range(2)]
    paged = PagedCaches.keys_and_values(keys, values, 16)
    chunk = torch.zeros(4, 16, 2, 6)
    open_copy(paged.planes).gather_blocks([3, 0], chunk)
    for plane, layer in enumerate([keys[0], values[0], keys[1], values[1]]):
        assert same(chunk[plane], layer[[3, 0]].reshape(16, 2, 6))


def test_layers_that_share_memory_are_kept_once():
    first, second, third = caches()
    paged = PagedCaches.split([first, second, first, third, second[:]], 32)
    assert paged.chunk.shape[0] == 3


def test_a_managers_block_is_several_of_the_kernels():
    paged = PagedCaches.split(caches(B=12), 48, block_tokens=24)
    assert paged.block_tokens == 24
    assert paged.kernel_blocks([2, 0]) == [6, 7, 8, 0, 1, 2]
    assert PagedCaches.split(caches(), 8).kernel_blocks([3, 1]) == [3, 1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PagedCaches.split([], 8), "no caches"),
        (lambda: PagedCaches.split(caches(), 16.0), "chunk_tokens=16.0 must be a whole number"),
        (lambda: PagedCaches.split(caches(), 16, True), "block_tokens=True must be a whole"),
        (lambda: PagedCaches.split(caches(), 16, 0), "block_tokens=0"),
        (lambda: PagedCaches.split(caches(), -16), "chunk_tokens=-16"),
        (
            lambda: PagedCaches.content([torch.zeros(4, 8, 12)], 16),
            r"\[4, 8, 12\]; pass four .* PagedCaches.content as cache.unsqueeze\(1\)",
        ),
        (
            lambda: PagedCaches.split([torch.zeros(2, 4, 8, 2, 6)], 16),
            r"cache\[0\], and the values, cache\[1\], .* PagedCaches.keys_and_values",
        ),
        (
            lambda: PagedCaches.split([torch.zeros(4, 2, 8, 2, 6)], 16),
            r"cache\[:, 0\], and the values, cache\[:, 1\], .* PagedCaches.keys_and_values",
        ),
        (lambda: PagedCaches.content([[1.0]], 16), "is a list; pass a tensor"),
        (lambda: PagedCaches.split(caches(), 12), "chunk_tokens=12 .* block_tokens=8"),
        (lambda: PagedCaches.split(caches(), 0), "chunk_tokens=0"),
        (lambda: PagedCaches.split(caches(), 48, block_tokens=12), "block_tokens=12 .* 8"),
        (lambda: PagedCaches.split([*caches(), *caches(H=3)], 8), "different shapes"),
        (lambda: PagedCaches.split([caches()[0], caches()[1].view(torch.bfloat16)], 8), "dtypes"),
        (lambda: PagedCaches.split([caches()[0], caches()[1].to("meta")], 8), "devices"),
        (lambda: PagedCaches.cpu_attention(caches(), 8), "contiguous"),
        (lambda: PagedCaches.cpu_attention_amx(caches(), 8), "contiguous"),
        (
            lambda: amx(torch.bfloat16, N=8),
            "8 tokens of 16 elements of torch.bfloat16 isn't packed",
        ),
        (lambda: amx(torch.bfloat16, C=48), "16 tokens of 24 elements"),
        (lambda: amx(torch.float16), "torch.float16 isn't packed for AMX; pass bfloat16"),
        (lambda: PagedCaches.keys_and_values([1], [], 8), "1 layers of keys but 0 of values"),
    ],
)
def test_what_can_not_be_is_refused_with_its_value(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.vllm
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("block_tokens", [32, 128])
def test_the_planes_are_what_vllms_cpu_attention_writes(dtype, block_tokens):
    import vllm._custom_ops as ops

    heads, dim, blocks = 3, 64, 5
    cache = torch.zeros(blocks, heads, block_tokens, 2 * dim, dtype=dtype)
    keys, values = torch.randn(2, 2 * block_tokens, heads, dim).to(dtype)
    block_ids = [3, 1]
    slots = torch.cat([torch.arange(block_tokens) + block * block_tokens for block in block_ids])
    halves = cache.view(blocks, heads, 2 * block_tokens, dim).chunk(2, dim=2)
    ops.cpu_attn_reshape_and_cache(keys, values, *halves, slots, "vec")
    paged = PagedCaches.cpu_attention([cache], 2 * block_tokens)
    chunk = torch.zeros(2, 2 * block_tokens, heads, dim, dtype=dtype)
    open_copy(paged.planes).gather_blocks(block_ids, chunk)
    assert same(chunk, torch.stack([keys, values]))
