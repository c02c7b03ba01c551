import gc
from types import SimpleNamespace

import pytest

from kvtransfer.device import pinned as pinned_module
from kvtransfer.device.pinned import CupyRegistry, TorchRegistry, open_registry, pinned
from kvtransfer.errors import ConfigError


class Registry:
    def __init__(self, error=None):
        self.held, self.error = {}, error

    def register(self, address, nbytes):
        if self.error:
            raise self.error
        self.held[address] = nbytes

    def unregister(self, address):
        del self.held[address]


def test_memory_is_registered_as_long_as_anything_looks_at_it():
    registry = Registry()
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
        pinned(3 << 30, Registry(RuntimeError("out of memory")))


def cupy(version, available=True):
    runtime = SimpleNamespace(runtimeGetVersion=lambda: version)
    return SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: available, runtime=runtime))


def broken():
    raise ImportError("libcudart.so.13: cannot open shared object file")


@pytest.mark.parametrize(
    ("import_cupy", "cuda_version", "kind"),
    [
        (lambda: cupy(13020), "13.0", CupyRegistry),
        (lambda: cupy(12090), "13.0", TorchRegistry),
        (lambda: cupy(13020, available=False), "13.0", TorchRegistry),
        (lambda: cupy(13020), None, TorchRegistry),
        (broken, "13.0", TorchRegistry),
    ],
    ids=["matching", "of another CUDA", "no driver", "torch without CUDA", "broken"],
)
def test_cupy_is_used_where_it_fits(monkeypatch, import_cupy, cuda_version, kind):
    monkeypatch.setattr(pinned_module.torch.cuda, "cudart", lambda: object())
    assert type(open_registry(import_cupy, cuda_version)) is kind
