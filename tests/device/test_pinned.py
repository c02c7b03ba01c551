import gc
import sys
from types import SimpleNamespace

import pytest
import torch

from kvtransfer.device.pinned import Registry, pinned
from kvtransfer.errors import ConfigError


class Registered:
    def __init__(self, error=None):
        self.held, self.error = {}, error

    def register(self, address, nbytes):
        if self.error:
            raise self.error
        self.held[address] = nbytes

    def unregister(self, address):
        del self.held[address]


def test_memory_is_registered_as_long_as_anything_looks_at_it():
    registry = Registered()
    memory = pinned(1 << 16, registry)
    assert registry.held == {memory.data_ptr(): 1 << 16}
    assert memory.data_ptr() % 4096 == 0
    assert not memory.any()
    part = memory[4096:].view(2, -1)
    del memory
    gc.collect()
    assert registry.held
    part[0, 0] = 1
    del part
    gc.collect()
    assert not registry.held


def test_what_the_driver_does_not_lock_is_refused_with_what_to_do():
    with pytest.raises(
        ConfigError, match=r"3\.0 GiB .*\(out of memory\); lower max_local_cpu_size"
    ):
        pinned(3 << 30, Registered(RuntimeError("out of memory")))


class Runtime:
    """CuPy's runtime or torch's: says what it was asked for."""

    def __init__(self, calls, name, version=13020, result=0):
        self.calls, self.name, self.result = calls, name, result
        self.runtimeGetVersion = lambda: version
        self.hostRegister = self.cudaHostRegister = self._register
        self.hostUnregister = self.cudaHostUnregister = self._unregister

    def _register(self, *arguments):
        self.calls.append((self.name, *arguments))
        return self.result

    def _unregister(self, address):
        self.calls.append((self.name, address))


@pytest.fixture
def calls(monkeypatch):
    calls = []
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "cudart", lambda: Runtime(calls, "torch"))
    monkeypatch.setattr(torch.cuda, "check_error", lambda result: calls.append(result))
    return calls


def install(monkeypatch, runtime, available=True):
    cuda = SimpleNamespace(is_available=lambda: available, runtime=runtime)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=cuda))


def use(registry):
    registry.register(4096, 8192)
    registry.unregister(4096)


BY_CUPY = [("cupy", 4096, 8192, 0), ("cupy", 4096)]
BY_TORCH = [("torch", 4096, 8192, 0), 0, ("torch", 4096)]


@pytest.mark.parametrize(
    ("version", "available", "torch_cuda", "expected"),
    [
        (13020, True, "13.0", BY_CUPY),
        (12090, True, "13.0", BY_TORCH),
        (13020, False, "13.0", BY_TORCH),
        (13020, True, None, BY_TORCH),
    ],
    ids=["matching", "of another CUDA", "no driver", "torch without CUDA"],
)
def test_cupy_is_used_where_it_fits(calls, monkeypatch, version, available, torch_cuda, expected):
    monkeypatch.setattr(torch.version, "cuda", torch_cuda)
    install(monkeypatch, Runtime(calls, "cupy", version), available)
    use(Registry.open())
    assert calls == expected


def test_without_cupy_torch_does_it_and_nothing_is_said(calls, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "cupy", None)
    use(Registry.open())
    assert calls == BY_TORCH
    assert not caplog.records


def test_a_broken_cupy_is_said_and_torch_does_it(calls, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace())
    use(Registry.open())
    assert calls == BY_TORCH
    assert "CuPy can't be used" in caplog.text
