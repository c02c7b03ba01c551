"""What a request's keys cover, with stand-ins for vLLM's configuration and requests."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from kvtransfer.chunks.keys import tenant_of, tenant_of_salt
from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.chunks.tiling import Tiling
from kvtransfer.connector.vllm.caches.cache_groups import GroupFacts, Section
from kvtransfer.connector.vllm.caches.model_facts import ModelFacts
from kvtransfer.connector.vllm.caches.ranks import Ranks
from kvtransfer.connector.vllm.caches.shared_shards import cut
from kvtransfer.connector.vllm.caches.stages import Stages
from kvtransfer.connector.vllm.keys.key_builder import KeyBuilder
from kvtransfer.connector.vllm.keys.media import Medium

TOKENS = list(range(8))
ROPE = {"rope_type": "default", "rope_theta": 1e5}


@pytest.fixture
def folders(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "x.safetensors").write_bytes(b"weights")
    return tmp_path


def keys(folders, salt=None, weights="those", adapter=None, media=(), **changes):
    made = {"dtype": "float32", "quantization": None, "rope": ROPE, "max_model_len": 64}
    made |= {
        "cache_dtype": "auto",
        "ranks": 1,
        "stages": 1,
        "shards_each": 1,
        "namespace": "",
        "heads": 2,
        "groups": 1,
        "block": 4,
    }
    made |= {"config": {}, "pruning": None, "draft": None}
    made |= changes
    config = {"rope_parameters": made["rope"], "transformers_version": "5", **made["config"]}
    hf_config = SimpleNamespace(
        to_json_string=lambda: json.dumps(config),
        to_dict=lambda: config,
    )
    model = SimpleNamespace(
        model=str(folders / "model"),
        hf_config=hf_config,
        hf_text_config=hf_config,
        seed=0,
        multimodal_config=SimpleNamespace(video_pruning_rate=made["pruning"]),
        **{name: made[name] for name in ("dtype", "quantization", "max_model_len")},
    )
    vllm_config = SimpleNamespace(
        model_config=model,
        cache_config=SimpleNamespace(cache_dtype=made["cache_dtype"]),
        speculative_config=made["draft"],
    )
    chunk = ChunkFormat.split("float32", 2, 4, made["heads"], 8)
    tiling, sections = Tiling(4, made["block"]), (Section(("layers.0",), chunk),)
    group = GroupFacts(0, "FullAttentionSpec", tiling, sections)
    groups = (group,) * made["groups"]
    ranks = Ranks(made["ranks"], made["stages"], shards_each=made["shards_each"])
    facts = ModelFacts("model", ranks, cut(groups, made["shards_each"]))
    stages = Stages((facts,) * made["stages"])
    space = KeyBuilder(vllm_config, stages, SimpleNamespace(namespace=made["namespace"]))
    request = SimpleNamespace(cache_salt=salt)
    return tuple(space.chain(request, weights, adapter, media).extend(TOKENS))


def draft(method, tokens=1):
    model = SimpleNamespace(hf_config=SimpleNamespace(architectures=["Eagle"]))
    return SimpleNamespace(method=method, num_speculative_tokens=tokens, draft_model_config=model)


def image(content):
    return [Medium(content, SimpleNamespace(offset=1, length=2))]


def test_every_difference_that_shapes_the_bytes_is_another_key(folders):
    seen = [
        keys(folders),
        keys(folders, dtype="bfloat16"),
        keys(folders, quantization="awq"),
        keys(folders, cache_dtype="fp8"),
        keys(folders, rope={**ROPE, "rope_theta": 1e4}),
        keys(folders, ranks=2),
        keys(folders, stages=2),
        keys(folders, stages=3),
        keys(folders, heads=1),
        keys(folders, namespace="tenant"),
        keys(folders, weights="others"),
        keys(folders, groups=2),
        keys(folders, groups=2, block=2),
        keys(folders, draft=draft("eagle")),
        keys(folders, draft=draft("mtp")),
        keys(folders, draft=draft("eagle", tokens=2)),
        keys(folders, salt="salt"),
        keys(folders, adapter="a digest"),
        keys(folders, adapter="another"),
        keys(folders, media=image("cat")),
        keys(folders, media=image("cat"), pruning=0.5),
        keys(folders, media=image("dog")),
    ]
    assert len(set(seen)) == len(seen)
    assert keys(folders) == seen[0]


def test_engines_of_all_sizes_have_the_keys_of_the_shards_that_they_share(folders):
    def of(size, **changes):
        return keys(folders, ranks=size, heads=8 // size, shards_each=4 // size, **changes)

    for changes in ({}, {"groups": 2}, {"stages": 2}):
        assert of(1, **changes) == of(2, **changes) == of(4, **changes)
    assert of(4) == keys(folders, ranks=4, heads=2)
    assert of(4) != keys(folders, ranks=2, heads=4, shards_each=1)


def test_a_salted_request_has_the_keys_of_its_tenant(folders):
    tenants = {tenant_of(key) for key in keys(folders, salt="salt")}
    assert tenants == {tenant_of_salt("salt")}
    assert {tenant_of(key) for key in keys(folders)} == {""}


def test_what_does_not_shape_them_is_not_in_the_key(folders, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (folders / "model").rename(elsewhere / "model")
    (folders / "model").symlink_to(elsewhere / "model")
    assert keys(folders) == keys(elsewhere)
    assert keys(folders, pruning=0.5) == keys(folders)  # it has no media
    assert keys(folders, max_model_len=64) == keys(folders, max_model_len=32)


PLAIN_PARTS = {"sliding_attention": ROPE, "full_attention": {"rope_type": "linear", "factor": 8.0}}


@pytest.mark.parametrize(
    "config",
    [
        {"rope_parameters": {"rope_type": "longrope"}},
        {"rope_parameters": {**PLAIN_PARTS, "full_attention": {"rope_type": "dynamic"}}},
        {"rope_parameters": {"0": ROPE, "layers": [ROPE, {"type": "dynamic"}]}},
        {"rope_scaling": {"type": "dynamic", "factor": 2.0}},
        {"rope_scaling": {"rope_type": ["yarn", "dynamic"]}},
        {"text_config": {"rope_parameters": {"full_attention": {"rope_type": "ntk"}}}},
        {"thinker_config": {"text_config": {"rope_scaling": {"type": "su"}}}},
        {"layers": [{"rope_type": "default"}, {"rope_type": "unheard of"}]},
        {"model_type": "llama4_text"},
    ],
)
def test_what_depends_on_the_context_length_has_it_in_the_key(folders, config):
    found = {keys(folders, config=config, max_model_len=n) for n in (32, 64)}
    assert len(found) == 2


@pytest.mark.parametrize(
    "config",
    [
        {"rope_parameters": PLAIN_PARTS},
        {"rope_parameters": None, "rope_scaling": None},
        {"rope_scaling": {"type": "yarn", "factor": 4.0}},
        {"text_config": {"rope_parameters": {"rope_type": "llama3"}}, "type": "dynamic"},
    ],
)
def test_what_does_not_depend_on_it_does_not(folders, config):
    found = {keys(folders, config=config, max_model_len=n) for n in (32, 64)}
    assert len(found) == 1
