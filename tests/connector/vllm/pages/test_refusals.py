"""A dtype or backend whose pages can't be served is refused in one sentence with its name."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kvtransfer.connector.vllm.pages import refusals
from kvtransfer.connector.vllm.pages.refusals import refuse_compression, refuse_pages
from kvtransfer.connector.vllm.pages.verdicts import (
    BACKENDS,
    DTYPES,
    REFUSED_BACKENDS,
    REFUSED_DTYPES,
)
from kvtransfer.errors import ConfigError


@pytest.fixture(autouse=True)
def on_a_gpu(monkeypatch):
    monkeypatch.setattr(refusals, "_is_on_cpu", lambda: False)


def config(dtype="auto", backend=None, by_kind=()):
    named = [SimpleNamespace(name=name) for name in by_kind]
    attention = SimpleNamespace(
        backend=SimpleNamespace(name=backend) if backend else None,
        backend_per_kind={str(kind): name for kind, name in enumerate(named)},
    )
    return SimpleNamespace(
        cache_config=SimpleNamespace(cache_dtype=dtype), attention_config=attention
    )


def test_what_is_served_passes():
    for dtype in DTYPES:
        refuse_pages(config(dtype))
    for backend in BACKENDS:
        refuse_pages(config(backend=backend))
    refuse_pages(config(backend="OF_A_LATER_VLLM"))  # its pages are told apart as packed ones


@pytest.mark.parametrize("dtype", [*REFUSED_DTYPES, "int2_of_a_plug_in"])
def test_dtypes(dtype):
    with pytest.raises(ConfigError, match=rf"^kv_cache_dtype={dtype} is not .*: .+; set [^.]+$"):
        refuse_pages(config(dtype))


@pytest.mark.parametrize("backend", REFUSED_BACKENDS)
def test_backends(backend):
    sentence = rf"^attention backend {backend} is not .*: .+; set --attention-backend [^.]+$"
    for named in (config(backend=backend), config(by_kind=["FLASH_ATTN", backend])):
        with pytest.raises(ConfigError, match=sentence):
            refuse_pages(named)


@pytest.mark.parametrize("dtype", DTYPES)
def test_compression_of_what_does_not_become_shorter(dtype):
    refuse_compression("naive", dtype)
    refuse_compression("auto", dtype)
    if dtype in ("auto", "float16", "bfloat16"):
        refuse_compression("lossless", dtype)
        return
    with pytest.raises(ConfigError, match=rf"=lossless .* not kv_cache_dtype={dtype}; set [^.]+$"):
        refuse_compression("lossless", dtype)


def test_fp8_on_a_cpu(monkeypatch):
    monkeypatch.setattr(refusals, "_is_on_cpu", lambda: True)
    refuse_pages(config("auto"))
    with pytest.raises(ConfigError, match=r"kv_cache_dtype=fp8_e5m2 .*on a CPU"):
        refuse_pages(config("fp8_e5m2"))
