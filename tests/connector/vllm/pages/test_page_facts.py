"""Which pages only some engines can read, and what of them the keys then cover."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from kvtransfer.connector.vllm.pages import page_facts as module
from kvtransfer.connector.vllm.pages import refusals
from kvtransfer.connector.vllm.pages.page_facts import backend_name, page_facts
from kvtransfer.connector.vllm.weights.of_model import fingerprint
from kvtransfer.errors import ConfigError

pytestmark = pytest.mark.vllm


@pytest.fixture(autouse=True)
def on_a_gpu(monkeypatch):
    monkeypatch.setattr(refusals, "_is_on_cpu", lambda: False)


def backend(path):
    """A class that says it is the one at ``path``."""
    module, _, name = path.rpartition(".")
    return type(name, (), {"__module__": module})


BACKENDS = "vllm.v1.attention.backends."
FLASH = backend(f"{BACKENDS}flash_attn.FlashAttentionBackend")
FLASHINFER = backend(f"{BACKENDS}flashinfer.FlashInferBackend")
ROCM = backend(f"{BACKENDS}rocm_attn.RocmAttentionBackend")
MAMBA = backend(f"{BACKENDS}mamba2_attn.Mamba2AttentionBackend")
INDEXER = backend(f"{BACKENDS}mla.indexer.DeepseekV32IndexerBackend")


def layer(backend, dtype="auto", shapes=((4, 8),)):
    return SimpleNamespace(
        get_attn_backend=lambda: backend,
        kv_cache_dtype=dtype,
        get_state_shape=lambda: shapes,
        get_state_dtype=lambda: (torch.float32,),
    )


def page(heads=2, tokens=16, content=8, order=(0, 1, 2, 3)):
    shape = [3, heads, tokens, content]
    return torch.empty([shape[dim] for dim in order]).permute(
        [order.index(dim) for dim in range(4)]
    )


def facts(layer, cache=None, skipped=()):
    context = SimpleNamespace(static_forward_context={"a": layer})
    config = SimpleNamespace(
        compilation_config=context,
        cache_config=SimpleNamespace(kv_cache_dtype_skip_layers=list(skipped)),
    )
    return page_facts(config, {"a": page() if cache is None else cache, "shared": page()})


@pytest.mark.parametrize("dtype", ["auto", "fp8", "int8_per_token_head"])
def test_pages_that_explain_themselves_have_no_facts(dtype):
    assert facts(layer(FLASH, dtype)) == []
    assert facts(layer(FLASH, dtype), page(order=(0, 2, 1, 3))) == []


def test_packed_pages_differ_by_whatever_their_bytes_depend_on(monkeypatch):
    seen = {
        tuple(facts(layer(FLASHINFER, "nvfp4"))),
        tuple(facts(layer(FLASHINFER, "nvfp4_4over6"))),
        tuple(facts(layer(FLASH, "nvfp4"))),
        tuple(facts(layer(FLASHINFER, "nvfp4"), page(tokens=32))),
        tuple(facts(layer(FLASHINFER, "nvfp4"), page(order=(0, 2, 1, 3)))),
    }
    monkeypatch.setattr(module, "_device", lambda: ["cuda", "8.0"])
    seen.add(tuple(facts(layer(FLASHINFER, "nvfp4"))))
    assert len(seen) == 6
    assert () not in seen


def test_how_many_blocks_there_are_says_nothing():
    few, many = torch.empty(3, 2, 16, 8), torch.empty(9, 2, 16, 8)
    assert facts(layer(FLASHINFER, "nvfp4"), few) == facts(layer(FLASHINFER, "nvfp4"), many)


def test_a_backend_that_belongs_to_one_model_is_taken_as_packed():
    assert backend_name(INDEXER) == ""
    (_, described) = facts(layer(INDEXER))
    assert "DeepseekV32IndexerBackend" in described


def test_states_differ_by_their_shapes():
    turned = facts(layer(MAMBA, shapes=((8, 4),)))
    assert facts(layer(MAMBA)) == facts(layer(MAMBA))
    assert facts(layer(MAMBA)) != turned


def test_layers_that_are_not_quantized_are_told():
    assert facts(layer(FLASH, "fp8"), skipped=["0"]) != facts(layer(FLASH, "fp8"), skipped=["1"])


def test_another_fp8_is_told(monkeypatch):
    monkeypatch.setattr(module, "_fp8", lambda: "torch.float8_e4m3fnuz")
    assert facts(layer(FLASH)) == []
    assert facts(layer(FLASH, "fp8")) == ['["fp8", "torch.float8_e4m3fnuz"]']


def test_what_vllm_chose_itself_is_refused_here():
    for chosen, name in ((ROCM, "ROCM_ATTN"), (backend("theirs.Backend"), "CUSTOM")):
        with pytest.raises(ConfigError, match=f"attention backend {name} is not supported"):
            facts(layer(chosen))


def test_a_subclass_that_vllm_makes_has_the_name_of_its_base():
    made = type("Local", (FLASH,), {"__module__": "vllm.v1.attention.backend"})
    assert backend_name(made) == "FLASH_ATTN"


def test_facts_are_in_the_fingerprint():
    model = torch.nn.Linear(2, 2)
    alone, packed = fingerprint(model), fingerprint(model, None, facts(layer(FLASHINFER, "nvfp4")))
    assert alone == fingerprint(model, None, [])
    assert alone != packed
