"""What two engines may differ in, as the page's table says: each row has its tests."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

from kvtransfer import KVTransfer, PagedCaches, TransferConfig
from kvtransfer.stores.embedded.server import EmbeddedServer
from tests.troubleshooting.page import SHARED

ROOT = Path(__file__).parents[2]
TOKENS = list(range(128))
WEIGHTS = {"weights": "those"}

ENGINES = {
    "tokens, from the first on": "tests/connector/test_restore.py::test_a_prompt_shorter_than_a_chunk",
    "weights": "tests/connector/test_never_a_hit.py::test_other_weights_in_a_folder_of_the_same_name",
    "dtype of model and cache, quantisation, rope settings": "tests/connector/test_never_a_hit.py::test_another_dtype",
    "`chunk_size`, `namespace`, `model_name`, `remote_serde` where it is approximate": "tests/connector/test_never_a_hit.py::test_another_setting",
    "number of tensor- and pipeline-parallel ranks": "tests/connector/test_tensor_parallel.py::test_one_and_two_ranks_restore_what_the_other_saved",
    "`cache_salt` of the request": "tests/connector/test_never_a_hit.py::test_another_cache_salt",
    "content of its LoRA adapter, of its images and the like": "tests/connector/test_adapters.py::test_another_content_or_strength_is_no_hit",
    "key files": "tests/connector/test_sealed_stores.py::test_only_those_with_the_key_share",
    "block size, with one cache group": "tests/connector/test_restore.py::test_another_block_size_is_no_obstacle",
    "folder of the model, machine, process, `PYTHONHASHSEED`": "tests/connector/test_restore.py::test_another_interpreter_with_another_hash_seed",
    "version of vLLM, from 0.31 to 0.33": "tests/connector/test_vllm_versions.py::test_what_one_version_has_saved_another_restores",
}
"""Tests with real engines, which show what the row says."""


def test_each_row_is_shown_by_engines():
    assert {what for what, _ in SHARED} == ENGINES.keys()


@pytest.mark.parametrize("test", ENGINES.values())
def test_that_test_is_there(test):
    path, _, name = test.partition("::")
    body = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
    assert name in {node.name for node in body if isinstance(node, ast.FunctionDef)}


def opened(url, facts, dtype, block_tokens, settings):
    layers = [torch.zeros(16, 2, block_tokens, 128, dtype=dtype) for _ in range(2)]
    config = TransferConfig.of(
        **{"remote_url": url, "chunk_size": 64, "max_local_cpu_size": 0.01, **settings}
    )
    caches = PagedCaches.split(layers, chunk_tokens=config.chunk_size)
    return KVTransfer.open(config, caches, model_name="model", facts=facts)


def found(
    server, *, facts=WEIGHTS, dtype=torch.float32, block_tokens=16, tokens=TOKENS, **settings
):
    """How many tokens that an engine has saved another one finds, which differs so."""
    blocks = list(range(len(TOKENS) // 16))
    with opened(server.url, WEIGHTS, torch.float32, 16, {}) as first:
        first.save(TOKENS, blocks).wait()
    with opened(server.url, facts, dtype, block_tokens, settings) as second:
        return second.lookup(tokens)


@pytest.fixture(scope="module")
def server():
    with EmbeddedServer(64 << 20) as running:
        yield running


@pytest.mark.parametrize(
    "difference",
    [
        {"tokens": [9, *TOKENS]},
        {"facts": {"weights": "others"}},
        {"dtype": torch.bfloat16},
        {"chunk_size": 32},
        {"namespace": "another"},
        {"model_name": "another"},
        {"remote_serde": "int8"},
        {"facts": {**WEIGHTS, "rope": "longer"}},
    ],
    ids=str,
)
def test_what_must_be_equal(server, difference):
    assert found(server, **difference) == 0


@pytest.mark.parametrize(
    "difference", [{}, {"block_tokens": 8}, {"remote_serde": "lossless"}, {"ttl_s": 900}], ids=str
)
def test_what_may_differ(server, difference):
    assert found(server, **difference) == len(TOKENS)
