"""What a request's keys cover, with stand-ins for vLLM's configuration and requests."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from kvtransfer.connector.key_space import KeySpace
from kvtransfer.layout import ChunkFormat

TOKENS = list(range(8))
ROPE = {"rope_type": "default", "rope_theta": 1e5}


@pytest.fixture
def folders(tmp_path):
    for name, config in (("model", "config.json"), ("adapter", "adapter_config.json")):
        (tmp_path / name).mkdir()
        (tmp_path / name / config).write_text("{}")
        (tmp_path / name / "x.safetensors").write_bytes(b"weights")
    return tmp_path


def keys(folders, request=None, epoch="", **changes):
    made = {"dtype": "float32", "quantization": None, "rope": ROPE, "max_model_len": 64}
    made |= {"cache_dtype": "auto", "load_format": "auto", "ranks": 1, "namespace": "", "heads": 2}
    made |= {"config": {}}
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
        **{name: made[name] for name in ("dtype", "quantization", "max_model_len")},
    )
    vllm_config = SimpleNamespace(
        model_config=model,
        load_config=SimpleNamespace(load_format=made["load_format"]),
        cache_config=SimpleNamespace(cache_dtype=made["cache_dtype"]),
    )
    chunk = ChunkFormat.split("float32", 2, 4, made["heads"], 8)
    facts = SimpleNamespace(chunk=chunk, ranks=made["ranks"])
    space = KeySpace(vllm_config, facts, SimpleNamespace(namespace=made["namespace"]))
    plain = {"prompt_embeds": None, "skip_reading_prefix_cache": False, "cache_salt": None}
    plain |= {"lora_request": None, "mm_features": []}
    chain = space.chain(SimpleNamespace(**plain | (request or {})), epoch)
    return None if chain is None else tuple(chain.extend(TOKENS))


def adapter(folders, name="style", folder="adapter"):
    path = str(folders / folder)
    return {"lora_request": SimpleNamespace(lora_name=name, lora_path=path)}


def image(identifier):
    place = SimpleNamespace(offset=1, length=2)
    return {"mm_features": [SimpleNamespace(identifier=identifier, mm_position=place)]}


def test_every_difference_that_shapes_the_bytes_is_another_key(folders):
    seen = [
        keys(folders),
        keys(folders, dtype="bfloat16"),
        keys(folders, quantization="awq"),
        keys(folders, cache_dtype="fp8"),
        keys(folders, load_format="dummy"),
        keys(folders, rope={**ROPE, "rope_theta": 1e4}),
        keys(folders, ranks=2),
        keys(folders, heads=1),
        keys(folders, namespace="tenant"),
        keys(folders, epoch="after a reset"),
        keys(folders, {"cache_salt": "salt"}),
        keys(folders, adapter(folders)),
        keys(folders, adapter(folders, name="other")),
        keys(folders, image("cat")),
        keys(folders, image("dog")),
    ]
    for name in ("adapter", "model"):  # fine-tuned in place
        (folders / name / "x.safetensors").write_bytes(b"Weights")
        seen.append(keys(folders, adapter(folders)))
    seen.append(keys(folders))
    assert len(set(seen)) == len(seen)
    assert keys(folders) == seen[-1]


def test_what_does_not_shape_them_is_not_in_the_key(folders, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in ("model", "adapter"):
        (folders / name).rename(elsewhere / name)
        (folders / name).symlink_to(elsewhere / name)
    assert keys(folders, adapter(folders)) == keys(elsewhere, adapter(elsewhere))
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


@pytest.mark.parametrize("request_", [{"prompt_embeds": 1}, {"skip_reading_prefix_cache": True}])
def test_a_request_whose_tokens_do_not_tell_its_bytes_has_no_keys(folders, request_):
    assert keys(folders, request_) is None
