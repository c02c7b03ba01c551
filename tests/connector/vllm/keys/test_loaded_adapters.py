"""What a worker knows of its adapters, with vLLM's own bookkeeping of them and made-up tensors."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from vllm.lora.lora_model import LoRAModel
from vllm.lora.lora_weights import LoRALayerWeights
from vllm.lora.model_manager import LRUCacheLoRAModelManager
from vllm.lora.request import LoRARequest

from kvtransfer.connector.vllm.keys.loaded_adapters import LoadedAdapters


class Adapters(LRUCacheLoRAModelManager):
    """Without a model to apply them to."""

    def __init__(self, capacity):
        from vllm.lora.model_manager import AdapterLRUCache

        self.lora_config = SimpleNamespace(max_cpu_loras=capacity)
        self._registered_adapters = AdapterLRUCache(capacity, lambda _: None)

    def _add_adapter(self, lora):
        self._registered_adapters[lora.id] = lora


class Manager:
    """Loads from a dictionary in place of the disk."""

    def __init__(self, disk, capacity):
        self.disk = disk
        self._adapter_manager = Adapters(capacity)

    def _load_adapter(self, request):
        if request.lora_path not in self.disk:
            raise FileNotFoundError(request.lora_path)
        return lora(request.lora_int_id, *self.disk[request.lora_path])

    def _apply_adapters(self, requests):
        for request in requests:
            self.add_adapter(request)

    def add_adapter(self, request):
        adapters = self._adapter_manager
        if adapters.get_adapter(request.lora_int_id) is None or request.load_inplace:
            loaded = self._load_adapter(request)
            adapters._registered_adapters.pop(request.lora_int_id, None)
            if len(adapters) + 1 > adapters.capacity:
                adapters.remove_oldest_adapter()
            adapters.add_adapter(loaded)


def lora(number, seed, alpha=4, rows=4):
    weights = torch.randn(rows, 8, generator=torch.Generator().manual_seed(seed))
    layer = LoRALayerWeights("q_proj", 4, alpha, weights, weights.T.contiguous())
    return LoRAModel(number, 4, {"q_proj": layer})


def request(number=1, path="a", name="style", **more):
    return LoRARequest(name, number, path, **more)


@pytest.fixture
def disk():
    return {"a": (1,), "same": (1,), "b": (2,)}


@pytest.fixture
def manager(disk):
    return Manager(disk, capacity=2)


@pytest.fixture
def adapters(manager):
    return LoadedAdapters(manager)


def test_content_counts_and_nothing_else(adapters, disk):
    found = adapters.find(request(), ())
    assert adapters.find(request(2, "same", "other"), ()).digest == found.digest
    assert adapters.find(request(3, "b"), ()).digest != found.digest
    disk["c"] = (1, 8)
    assert adapters.find(request(4, "c"), ()).digest != found.digest


def test_what_is_loaded_counts_whatever_the_files_hold_now(adapters, manager, disk):
    before = adapters.find(request(), ())
    disk["a"] = (2,)
    assert adapters.find(request(), ()) == before
    del disk["a"]
    assert adapters.find(request(), ()) == before
    disk["a"] = (2,)
    manager.add_adapter(request(load_inplace=True))
    after = adapters.find(request(), ())
    assert after.digest != before.digest
    assert (after.changes, after.is_steady) == (1, False)
    assert not adapters.are_still(1, before.changes)
    assert adapters.are_still(1, after.changes)


def test_the_same_content_read_again_is_no_change(adapters, manager):
    before = adapters.find(request(), ())
    manager.add_adapter(request(load_inplace=True))
    assert adapters.find(request(), ()) == before


def test_another_number_for_the_same_name_and_path_is_not_steady(adapters, disk):
    assert adapters.find(request(), ()).is_steady
    disk["a"] = (2,)
    assert not adapters.find(request(2), ()).is_steady


def test_one_that_each_step_reads_again_is_not_hashed(adapters, manager):
    before = adapters.find(request(), ())
    manager._apply_adapters([request(load_inplace=True)])
    assert adapters.find(request(), ()) is None
    assert not adapters.are_still(1, before.changes)


def test_an_adapter_in_use_is_never_let_go_of(adapters, manager):
    adapters.find(request(1), ())
    adapters.find(request(2, "same"), ())
    assert adapters.find(request(3, "b"), {1, 2}) is None
    assert set(manager._adapter_manager.list_adapters()) == {1, 2}
    assert adapters.find(request(3, "b"), {1}) is not None
    assert set(manager._adapter_manager.list_adapters()) == {1, 3}


def test_one_that_can_not_be_read_harms_nobody(adapters, caplog):
    assert adapters.find(request(path="gone"), ()) is None
    assert "adapter 'style' can't be loaded" in caplog.text
    assert adapters.find(request(2), ()) is not None


def test_without_a_manager_none_is_known():
    assert LoadedAdapters.of(SimpleNamespace(model_runner=None)).find(request(), ()) is None


def test_the_manager_of_a_workers_runner_is_watched(manager):
    worker = SimpleNamespace(model_runner=SimpleNamespace(lora_manager=manager))
    assert LoadedAdapters.of(worker).find(request(), ()) is not None
