"""Every packing of vLLM's CPU attention is unpacked as vLLM's own code packs it, or refused."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest
import torch

from kvtransfer.connector.vllm.caches import cpu_packing
from kvtransfer.connector.vllm.caches.cpu_packing import UNPACKED, UNTESTED, cpu_caches
from kvtransfer.errors import ConfigError
from kvtransfer.kernels import open_copy
from tests.connector.vllm.packed_pages import BLOCKS, Write, packed, packer
from tests.connector.vllm_variants import OTHER_VERSIONS
from tests.kernels.layouts import patterned, same

INSTALLED = Path(importlib.util.find_spec("vllm").origin).parents[1]
VERSIONS = pytest.mark.parametrize(
    "version", [INSTALLED, *OTHER_VERSIONS], ids=lambda folder: folder.name, scope="module"
)
# Of the libraries on x86-64, this one has all packings; its packing code needs no instruction of AMX.
LIBRARY = "vllm/_C.abi3.so"


@pytest.fixture(scope="module")
def process(version):
    if not torch.cpu._is_avx512_supported():
        pytest.skip(f"{LIBRARY} is built for AVX-512")
    with packer(version / LIBRARY) as running:
        yield running


@pytest.mark.vllm
@VERSIONS
def test_every_name_that_vllm_may_return_has_a_verdict(version):
    source = (version / "vllm/v1/attention/backends/cpu_attn.py").read_text()
    chooses = next(
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == "_get_attn_isa"
    )
    returned = [node.value for node in ast.walk(chooses) if isinstance(node, ast.Return)]
    names = {ast.literal_eval(value) for value in returned}
    assert names == UNPACKED.keys() | UNTESTED.keys()


@pytest.mark.vllm
@pytest.mark.cpu
@VERSIONS
@pytest.mark.parametrize(
    ("packing", "dtype", "dims"),
    [
        ("vec", torch.float32, (64,)),
        ("vec", torch.float16, (128,)),
        ("vec", torch.bfloat16, (32, 256)),
        ("vec16", torch.float32, (80,)),
        ("vec16", torch.bfloat16, (64, 112)),
        ("amx", torch.bfloat16, (32, 64, 96, 128, 256)),
    ],
)
def test_the_planes_are_what_vllms_own_code_packs(process, monkeypatch, packing, dtype, dims):
    monkeypatch.setattr(cpu_packing, "_packing_of", lambda cache, dtype: packing)
    for dim in dims:
        for block_tokens in (32, 128):
            keys, values = patterned(dtype, 2, 2 * block_tokens, 3, dim)
            write = Write(packing, keys, values, (3, 1))
            cache = _cache(process.submit(packed, write).result(), dtype)
            _check_both_ways(cache, write)


def _cache(memory, dtype):
    return torch.from_numpy(memory.copy()).view(dtype)


def _check_both_ways(cache, write):
    planes = cpu_caches([cache], len(write.keys), write.block_tokens).planes
    expected = torch.stack([write.keys, write.values])
    chunk = torch.zeros_like(expected)
    open_copy(planes).gather_blocks(write.block_ids, chunk)
    assert same(chunk, expected)
    restored = torch.zeros_like(cache)
    planes = cpu_caches([restored], len(write.keys), write.block_tokens).planes
    open_copy(planes).scatter_blocks(chunk, write.block_ids)
    assert same(restored, cache)


@pytest.mark.parametrize("packing", [*UNTESTED, "amx_fp8"])
def test_what_was_not_tested_is_refused_by_name(packing, monkeypatch):
    monkeypatch.setattr(cpu_packing, "_packing_of", lambda cache, dtype: packing)
    where = re.escape(UNTESTED.get(packing, "unknown to us"))
    with pytest.raises(ConfigError, match=f"for '{packing}' here .{where}.*x86-64 or on a GPU"):
        cpu_caches([torch.zeros(BLOCKS, 2, 32, 64)], 32, 32)


def test_a_cache_of_8_bits_is_refused_where_it_does_not_tell_its_packing(monkeypatch):
    cache = torch.zeros(BLOCKS, 2, 32, 64, dtype=torch.uint8)
    monkeypatch.setattr(cpu_packing, "_packing_of", lambda cache, dtype: "vec")
    assert cpu_caches([cache], 32, 32).chunk.dtype == "uint8"
    names = {torch.bfloat16: "amx", torch.float16: "vec"}
    monkeypatch.setattr(cpu_packing, "_packing_of", lambda cache, dtype: names[dtype])
    with pytest.raises(ConfigError, match=r"uint8 for one of amx, vec .*--kv-cache-dtype auto"):
        cpu_caches([cache], 32, 32)
