"""What the cache groups of the most used models are to us, and which groups are refused."""

from __future__ import annotations

import copy
import json
import logging
from types import SimpleNamespace

import pytest

from benchmarks.families import FAMILIES
from benchmarks.recorded_groups import cache_config, recorded
from kvtransfer.chunks.reach import Everything, LocalChunks, State, Window
from kvtransfer.config import TransferConfig
from kvtransfer.connector.opening import tell_opening
from kvtransfer.connector.vllm.caches.cache_groups import cache_groups
from kvtransfer.connector.vllm.caches.model_facts import ModelFacts
from kvtransfer.connector.vllm.caches.ranks import Ranks
from kvtransfer.connector.vllm.caches.stages import Stages
from kvtransfer.connector.vllm.keys.key_builder import KeyBuilder
from kvtransfer.errors import ConfigError

pytestmark = pytest.mark.vllm

BY_NAME = {family.name: family for family in FAMILIES}
REFUSED = ("DeepSeek V4", "Whisper")
SERVED = [family for family in FAMILIES if family.name not in REFUSED]

# The tokens of a chunk; of each group its reach, the tokens of a piece, and layouts with layers.
EXPECTED = {
    "Llama 3": (256, [(Everything(), 256, [("split", 32)])]),
    "Llama 4": (
        256,
        [(Everything(), 256, [("split", 12)])] + [(LocalChunks(8192), 256, [("split", 12)])] * 3,
    ),
    "Mistral 7B v0.1": (256, [(Window(4096), 256, [("split", 32)])]),
    "gpt-oss": (
        256,
        [(Everything(), 256, [("split", 18)]), (Window(128), 128, [("split", 18)])],
    ),
    "Gemma 4": (
        256,
        [(Everything(), 256, [("split", 5)])] + [(Window(512), 256, [("split", 5)])] * 5,
    ),
    "DeepSeek V3": (256, [(Everything(), 256, [("content", 61)])]),
    "DeepSeek V3.2": (256, [(Everything(), 256, [("content", 61)] * 2)]),
    "GLM-5": (256, [(Everything(), 256, [("content", 78)] * 2)]),
    "MiniMax M3": (256, [(Everything(), 256, [("split", 60), ("content", 57)])]),
    "Kimi Linear": (
        1920,
        [
            (Everything(), 1920, [("content", 7)]),
            *[(State(), 1, [("content", 7)])] * 2,
            (State(), 1, [("content", 6)]),
        ],
    ),
    "Qwen 3.5": (
        288,
        [(Everything(), 288, [("split", 8)])] + [(State(), 1, [("content", 8)])] * 3,
    ),
    "Falcon-H1": (
        160,
        [(Everything(), 160, [("split", 32)]), (State(), 1, [("content", 32)])],
    ),
}


def config(name):
    return cache_config(recorded(BY_NAME[name]))


def groups_of(record):
    return cache_groups(cache_config(record), 256)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_groups_of_a_family(name):
    groups = cache_groups(config(name), 256)
    found = [
        (
            group.tiling.reach,
            group.sections[0].chunk.tokens,
            [(section.chunk.layout, len(section.layer_names)) for section in group.sections],
        )
        for group in groups
    ]
    assert (groups[0].tiling.chunk_tokens, found) == EXPECTED[name]


@pytest.mark.parametrize("family", SERVED, ids=lambda family: family.name)
def test_a_piece_has_the_bytes_of_vllms_pages_without_their_padding(family):
    kept = config(family.name)
    for group in cache_groups(kept, 256):
        spec = kept.kv_cache_groups[group.number].kv_cache_spec
        by_layer = getattr(spec, "kv_cache_specs", {})
        for section in group.sections:
            pages = [by_layer.get(name, spec).real_page_size_bytes for name in section.layer_names]
            assert section.chunk.nbytes == group.tiling.piece_blocks * sum(pages)
        assert group.chunk.nbytes == sum(section.chunk.nbytes for section in group.sections)


@pytest.mark.parametrize("family", SERVED, ids=lambda family: family.name)
def test_chunks_fit_the_blocks_of_every_group(family):
    for group in cache_groups(config(family.name), 256):
        assert group.tiling.chunk_tokens % group.tiling.block_tokens == 0


def test_one_line_says_that_groups_need_other_chunks(caplog):
    facts = ModelFacts("model", Ranks(), cache_groups(config("Qwen 3.5"), 256))
    with caplog.at_level(logging.INFO, logger="kvtransfer"):
        tell_opening(TransferConfig.of(), facts.formats, 1)
    (record,) = caplog.records
    assert (
        "chunks of 288 tokens (not chunk_size=256: the model's blocks need that), "
        "pieces of 4 cache groups, "
    ) in record.getMessage()


def test_a_group_that_vllm_rebuilds_itself_is_left_out():
    kept = config("gpt-oss")
    kept.kv_cache_groups[0].enable_kv_transfer = False
    assert [group.number for group in cache_groups(kept, 256)] == [1]


# --- keys


def key(record):
    """The first key of a request, by the groups of ``record`` and nothing else."""
    facts = ModelFacts("model", Ranks(1), groups_of(record))
    hf_config = SimpleNamespace(to_json_string=lambda: "{}", to_dict=dict, rope_parameters={})
    model = SimpleNamespace(
        model="model",
        hf_config=hf_config,
        hf_text_config=hf_config,
        dtype="bfloat16",
        quantization=None,
        max_model_len=4096,
    )
    engine = SimpleNamespace(
        model_config=model,
        cache_config=SimpleNamespace(cache_dtype="auto"),
        speculative_config=None,
    )
    builder = KeyBuilder(engine, Stages((facts,)), SimpleNamespace(namespace=""))
    request = SimpleNamespace(cache_salt=None)
    tokens = list(range(facts.groups.chunk_tokens))
    return builder.chain(request, "weights", None, ()).extend(tokens)[0]


def changed(name, group, page=None, **changes):
    """The record of a family, with changes of a group or of a page of it."""
    record = copy.deepcopy(recorded(BY_NAME[name]))
    at = record["groups"][group]
    (at if page is None else at["pages"][page]).update(changes)
    return record


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(("gpt-oss", 0, 0, {"window_tokens": 256}), id="window"),
        pytest.param(("gpt-oss", 0, 0, {"heads": 4}), id="heads"),
        pytest.param(("gpt-oss", 0, 0, {"layers": 17}), id="layers"),
        pytest.param(("gpt-oss", 0, None, {"first_layer": "draft.0"}), id="layer-names"),
        pytest.param(("gpt-oss", 0, None, {"block_tokens": 64}), id="blocks"),
        pytest.param(("gpt-oss", 0, 0, {"dtype": "float16"}), id="dtype"),
        pytest.param(("Qwen 3.5", 0, 0, {"state_dtypes": ["bfloat16", "float32"]}), id="states"),
        pytest.param(("GLM-5", 0, 0, {"layers": 77}), id="sections"),
    ],
)
def test_keys_differ_when_the_composition_does(other):
    name, group, page, changes = other
    assert key(changed(name, group, page, **changes)) != key(recorded(BY_NAME[name]))


def test_keys_differ_when_sections_change_places():
    swapped = copy.deepcopy(recorded(BY_NAME["GLM-5"]))
    swapped["groups"][0]["pages"].reverse()
    pieces = [groups_of(record)[0].chunk for record in (swapped, recorded(BY_NAME["GLM-5"]))]
    assert pieces[0].nbytes == pieces[1].nbytes
    assert key(swapped) != key(recorded(BY_NAME["GLM-5"]))


def test_equal_groups_have_equal_keys():
    assert key(recorded(BY_NAME["GLM-5"])) == key(recorded(BY_NAME["GLM-5"]))


@pytest.mark.parametrize("family", SERVED, ids=lambda family: family.name)
def test_a_composition_is_plain_json(family):
    for group in cache_groups(config(family.name), 256):
        made = group.composition
        assert json.loads(json.dumps(made)) == made


# --- refusals


def refusal(kept):
    with pytest.raises(ConfigError) as error:
        cache_groups(kept, 256)
    return str(error.value)


def test_a_model_of_which_vllm_reuses_nothing():
    kept = config("Llama 3")
    kept.kv_cache_groups.clear()
    assert refusal(kept) == (
        "vLLM reuses no cache of this model, by its own judgement; run it without the connector"
    )


def test_a_kind_of_cache_that_is_unknown():
    assert refusal(config("Whisper")) == (
        "a model with CrossAttentionSpec, such as of "
        ".decoder.layers.0.layers.encoder_attn.attn, is not supported; run it without the connector"
    )


def test_several_tokens_in_one_state():
    assert refusal(config("DeepSeek V4")) == (
        "a cache with 128 tokens in one state is not supported; run this model without the "
        "connector"
    )


def test_layers_of_one_group_that_read_differently_far():
    record = copy.deepcopy(recorded(BY_NAME["gpt-oss"]))
    window = record["groups"][0]
    window["spec"] = "UniformTypeKVCacheSpecs"
    window["pages"].append({**window["pages"][0], "window_tokens": 64})
    said = refusal(cache_config(record))
    assert said == (
        "layers in one cache group, such as of model.layers.0.attn.attn, that read differently far "
        "back, ['Window(tokens=128, extra_tokens=0)', 'Window(tokens=64, extra_tokens=0)'], are not "
        "supported; run it without the connector"
    )


def test_states_that_are_not_kept_at_the_ends_of_blocks():
    record = {**recorded(BY_NAME["Qwen 3.5"]), "prefix_caching": False}
    assert refusal(cache_config(record)) == (
        "states with mamba_cache_mode='none' are not supported; leave --enable-prefix-caching on, "
        "with which vLLM keeps them at the ends of blocks"
    )
