"""Which cache groups of the most used models are quantised, and which stay as they are, by name."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from benchmarks.families import FAMILIES
from benchmarks.recorded_groups import cache_config, recorded
from kvtransfer.chunks.quantisation import CODECS
from kvtransfer.connector.vllm.caches.cache_groups import cache_groups
from kvtransfer.connector.vllm.caches.layer_order import in_order
from kvtransfer.connector.vllm.caches.quantised_groups import quantise
from kvtransfer.errors import ConfigError

pytestmark = pytest.mark.vllm

BY_NAME = {family.name: family for family in FAMILIES}
LATENT = {"kv_lora_rank": 512, "qk_rope_head_dim": 64}


def groups(name):
    return cache_groups(cache_config(recorded(BY_NAME[name])), 256)


def model(**text_config):
    return SimpleNamespace(hf_text_config=SimpleNamespace(**text_config))


def labels(found):
    return [
        [section.chunk.quantised and section.chunk.quantised.label for section in group.sections]
        for group in found
    ]


@pytest.mark.parametrize("codec", ["int8", "int5", "int4"])
def test_full_attention_is_quantised_whole(codec):
    plain = groups("Llama 3")
    found = quantise(plain, codec, model())
    assert labels(found) == [[f"int{CODECS[codec]}-{int(codec == 'int4')}-0 v1"]]
    assert plain[0].chunk.nbytes / found[0].chunk.nbytes >= {8: 1.85, 5: 2.9, 4: 3.5}[CODECS[codec]]
    assert found[0].composition != plain[0].composition


@pytest.mark.parametrize("codec", ["naive", "lossless", "auto"])
def test_other_codecs_change_nothing(codec):
    assert quantise(groups("Llama 3"), codec, model()) == groups("Llama 3")


def test_cachegen_cuts_the_layers_by_level_in_their_order():
    (plain,) = groups("Llama 3")
    (found,) = quantise([plain], "cachegen", model())
    first, rest = found.sections
    assert (len(first.layer_names), len(rest.layer_names)) == (2, 30)
    assert [*first.layer_names, *rest.layer_names] == in_order(plain.sections[0].layer_names)
    assert found.chunk.nbytes == first.chunk.nbytes + rest.chunk.nbytes


def test_windows_are_quantised_as_far_as_their_pieces_reach():
    found = quantise(groups("gpt-oss"), "int8", model())
    assert labels(found) == [["int8-0-0 v1"], ["int8-0-0 v1"]]


def test_of_a_latent_the_rotated_part_stays_exact():
    assert labels(quantise(groups("DeepSeek V3"), "int8", model(**LATENT))) == [["int8-0-64 v1"]]


def test_states_and_pages_of_their_own_stay_as_they_are_and_are_named(caplog):
    caplog.set_level(logging.WARNING, logger="kvtransfer")
    found = quantise(groups("Kimi Linear"), "int4", model(**LATENT))
    assert labels(found) == [["int4-1-64 v1"], *[[None]] * 3]
    assert "leaves states as they are, such as of" in caplog.text


def test_a_model_of_which_nothing_can_be_quantised_is_refused():
    with pytest.raises(
        ConfigError, match=r"fits no layer .* content of their own; set it to naive"
    ):
        quantise(groups("DeepSeek V3"), "int8", model())
    with pytest.raises(ConfigError, match=r"fits no layer .* 288 tokens.* and states"):
        quantise(groups("Qwen 3.5"), "int8", model())
