"""What counts as a touch of a worker's weights, and what is read again after one."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from kvtransfer.connector.vllm.weights.worker_watch import (
    HARMLESS,
    note_loading,
    touches,
    watch_workers,
)

pytestmark = pytest.mark.vllm


@pytest.fixture
def wrapper():
    """vLLM's wrapper of a worker with a connector, as an executor holds it."""
    from vllm.v1.worker.worker_base import WorkerWrapperBase

    watch_workers()
    made = WorkerWrapperBase()
    made.vllm_config = SimpleNamespace(kv_transfer_config=object())
    made.worker = SimpleNamespace(**dict.fromkeys({*HARMLESS, "reload_weights", "model_runner"}))
    return made


def test_harmless_calls_are_no_touch(wrapper):
    for name in HARMLESS - {"initialize_from_config", "shutdown"}:  # the wrapper's own
        getattr(wrapper, name)
    assert touches(wrapper.worker) == 0


@pytest.mark.parametrize("name", ["reload_weights", "model_runner"])
def test_anything_else_that_is_asked_of_a_worker_is_one(wrapper, name):
    getattr(wrapper, name)
    assert touches(wrapper.worker) == 1


def test_without_a_connector_nothing_is_noted(wrapper):
    wrapper.vllm_config.kv_transfer_config = None
    assert wrapper.reload_weights is None
    assert touches(wrapper.worker) == 0


def test_what_a_worker_lacks_is_still_an_error(wrapper):
    with pytest.raises(AttributeError, match="no_such_method"):
        _ = wrapper.no_such_method


def test_every_harmless_name_is_known_to_vllm():
    """A name that vLLM has dropped, or that was misspelled, is not on the list."""
    from vllm.v1.worker.gpu_worker import Worker

    assert {name for name in HARMLESS if not hasattr(Worker, name)} == set()


def test_loading_weights_into_the_model_is_a_touch():
    class Model(nn.Module):
        def load_weights(self, weights):
            return set(weights)

    model, worker = Model(), SimpleNamespace()
    note_loading(model, worker)
    assert model.load_weights(["a"]) == {"a"}
    assert touches(worker) == 1


def held(worker, name=None, **offload):
    from kvtransfer.connector.vllm.weights.held import HeldWeights

    prefetch = SimpleNamespace(offload_group_size=offload.get("group", 0))
    config = SimpleNamespace(
        quant_config=None,
        offload_config=SimpleNamespace(
            offload_backend=offload.get("backend", "auto"), prefetch=prefetch
        ),
        parallel_config=SimpleNamespace(enable_expert_parallel=False),
        speculative_config=None,
    )
    return HeldWeights(worker, config, name=name)


@pytest.fixture
def worker():
    return worker_of(nn.Linear(4, 4))


def worker_of(model):
    model.load_weights = lambda weights: set()
    return SimpleNamespace(get_model=lambda: model)


def test_the_operators_word_stands_for_any_weights_until_they_change(worker):
    from kvtransfer.requests.keys.weights import Expectation

    weights, elsewhere = held(worker, "llama"), held(worker_of(nn.Linear(2, 8)), "llama")
    assert weights.holding == elsewhere.holding
    names = {each.holding.fingerprint for each in (weights, held(worker, "qwen"), held(worker))}
    assert len(names) == 3

    with torch.no_grad():
        worker.get_model().weight += 1
    assert weights.check(Expectation(1, reread=True))
    assert weights.holding.fingerprint == held(worker).holding.fingerprint


def test_weights_are_read_again_after_a_touch_or_when_asked(worker):
    from kvtransfer.connector.vllm.weights.worker_watch import note_touch
    from kvtransfer.requests.keys.weights import Expectation

    weights = held(worker)
    first = weights.holding.fingerprint
    worker.get_model().weight.data += 1
    assert not weights.check(Expectation(1))  # nothing has told it
    note_touch(worker)
    assert weights.check(Expectation(2))
    second = weights.holding
    assert second.checked_in == 2
    assert not weights.check(Expectation(3))
    worker.get_model().weight.data += 1
    assert weights.check(Expectation(4, reread=True))
    assert len({first, second.fingerprint, weights.holding.fingerprint}) == 3


@pytest.mark.parametrize("offload", [{"group": 4}, {"backend": "prefetch"}])
def test_weights_that_are_swapped_while_steps_run_are_not_cached(worker, offload, caplog):
    with caplog.at_level(logging.WARNING, logger="kvtransfer"):
        assert held(worker, **offload).holding.fingerprint == ""
    assert "prefetch" in caplog.text
