"""Which differences between two models a fingerprint tells, and which it must not tell."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from kvtransfer.connector.vllm.weights.of_model import UnknownWeightsError, fingerprint
from kvtransfer.connector.vllm.weights.packed import watch_packing


class Packing:
    """A quantisation method that takes a layer's weight away, as vLLM's on CPUs does."""

    def __init__(self, gone=False):
        self._gone = gone

    def process_weights_after_loading(self, layer):
        layer.packed = layer.weight.data.clone().numpy()
        if self._gone:
            del layer.weight
        else:
            layer.weight = nn.Parameter(torch.empty(0))


def model():
    """Built anew each time, with the same weights."""
    torch.manual_seed(0)
    made = nn.Sequential(nn.Embedding(64, 32), nn.Linear(32, 32), nn.BatchNorm1d(32))
    made.register_buffer("scratch", torch.rand(4), persistent=False)
    made.scratch.fill_(torch.rand(()).item())
    return made


def test_equal_weights_have_equal_fingerprints():
    assert fingerprint(model()) == fingerprint(model())
    other = model()
    other.scratch.fill_(7)  # a buffer that no checkpoint holds says nothing
    assert fingerprint(other) == fingerprint(model())


@pytest.mark.parametrize("name", ["0.weight", "1.weight", "1.bias", "2.running_mean"])
def test_one_element_of_any_tensor_is_another_fingerprint(name):
    changed = model()
    changed.state_dict()[name].view(-1)[-1] += 1
    assert fingerprint(changed) != fingerprint(model())


def test_the_same_values_in_another_shape_dtype_or_place_are_others():
    seen = [fingerprint(model())]
    for name in ("0", "1"):
        half = model()
        half.get_submodule(name).half()
        seen.append(fingerprint(half))
    transposed = model()
    transposed[1].weight = nn.Parameter(transposed[1].weight.data.t())
    renamed = nn.Sequential(nn.Identity(), *model())
    seen += [fingerprint(transposed), fingerprint(renamed)]
    assert len(set(seen)) == len(seen)


def test_lora_enabled_or_not_is_the_same():
    wrapped = model()
    wrapped[1] = nn.ModuleDict({"base_layer": wrapped[1]})
    assert fingerprint(wrapped) == fingerprint(model())


def test_quantisation_settings_count_but_what_was_measured_does_not():
    def settings(**values):
        return SimpleNamespace(**{"bits": 4, "ignored": ["lm_head"], "seconds": 1.5} | values)

    first = fingerprint(model(), settings())
    assert first == fingerprint(model(), settings(seconds=2.5))
    assert first != fingerprint(model(), settings(bits=8))
    assert first != fingerprint(model(), settings(ignored=[]))


def packed(gone, change=0.0):
    made = model()
    made[1].quant_method = Packing(gone)
    watch_packing(made)
    made[1].weight.data[3, 4] += change
    made[1].quant_method.process_weights_after_loading(made[1])
    return made


@pytest.mark.parametrize("gone", [False, True])
def test_what_was_packed_away_is_known_by_what_it_was(gone):
    assert fingerprint(packed(gone)) == fingerprint(packed(gone))
    assert fingerprint(packed(gone)) != fingerprint(packed(gone, change=1.0))


def test_weights_loaded_anew_and_packed_again_are_others():
    made = packed(gone=False)
    before = fingerprint(made)
    made[1].weight = nn.Parameter(torch.zeros(32, 32))
    made[1].quant_method.process_weights_after_loading(made[1])
    assert fingerprint(made) != before


def test_what_was_packed_away_unseen_is_unknown():
    made = model()
    Packing().process_weights_after_loading(made[1])
    with pytest.raises(UnknownWeightsError, match=r"1\.weight"):
        fingerprint(made)


def test_weights_that_are_not_loaded_are_unknown():
    with pytest.raises(UnknownWeightsError, match="not loaded"):
        fingerprint(model().to("meta"))


def test_the_code_that_came_with_a_model_counts(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    found = set()
    for text in ("", "# another revision"):
        (tmp_path / "brought").mkdir(exist_ok=True)
        (tmp_path / "brought" / "layer.py").write_text(
            f"from torch import nn\n\n\nclass Layer(nn.Linear):\n    pass\n{text}"
        )
        for name in ("brought", "brought.layer"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        made = model()
        made[1].__class__ = __import__("brought.layer").layer.Layer
        found.add(fingerprint(made))
    assert len(found) == 2
