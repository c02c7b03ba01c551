"""What a request's keys cover, with stand-ins for vLLM's configuration and requests."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from kvtransfer.connector.key_space import KeySpace
from kvtransfer.keys import tenant_of, tenant_of_salt
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


def keys(folders, request=None, weights="those", **changes):
    made = {"dtype": "float32", "quantization": None, "rope": ROPE, "max_model_len": 64}
    made |= {"cache_dtype": "auto", "ranks": 1, "namespace": "", "heads": 2}
    made |= changes
    hf_config = SimpleNamespace(
        rope_parameters=made["rope"],
        to_json_string=lambda: json.dumps({"rope": made["rope"], "transformers_version": "5"}),
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
        cache_config=SimpleNamespace(cache_dtype=made["cache_dtype"]),
    )
    chunk = ChunkFormat.split("float32", 2, 4, made["heads"], 8)
    facts = SimpleNamespace(chunk=chunk, ranks=made["ranks"])
    space = KeySpace(vllm_config, facts, SimpleNamespace(namespace=made["namespace"]))
    plain = {"prompt_embeds": None, "skip_reading_prefix_cache": False, "cache_salt": None}
    plain |= {"lora_request": None, "mm_features": []}
    chain = space.chain(SimpleNamespace(**plain | (request or {})), weights)
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
        keys(folders, rope={**ROPE, "rope_theta": 1e4}),
        keys(folders, ranks=2),
        keys(folders, heads=1),
        keys(folders, namespace="tenant"),
        keys(folders, weights="others"),
        keys(folders, {"cache_salt": "salt"}),
        keys(folders, adapter(folders)),
        keys(folders, adapter(folders, name="other")),
        keys(folders, image("cat")),
        keys(folders, image("dog")),
    ]
    (folders / "adapter" / "x.safetensors").write_bytes(b"Weights")  # fine-tuned in place
    seen.append(keys(folders, adapter(folders)))
    assert len(set(seen)) == len(seen)
    assert keys(folders) == seen[0]


def test_a_salted_request_has_the_keys_of_its_tenant(folders):
    tenants = {tenant_of(key) for key in keys(folders, {"cache_salt": "salt"})}
    assert tenants == {tenant_of_salt("salt")}
    assert {tenant_of(key) for key in keys(folders)} == {""}


def test_what_does_not_shape_them_is_not_in_the_key(folders, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in ("model", "adapter"):
        (folders / name).rename(elsewhere / name)
        (folders / name).symlink_to(elsewhere / name)
    assert keys(folders, adapter(folders)) == keys(elsewhere, adapter(elsewhere))
    assert keys(folders, max_model_len=64) == keys(folders, max_model_len=32)


def test_a_rope_that_depends_on_the_context_length_has_it_in_the_key(folders):
    longrope = {"rope_type": "longrope"}
    found = {keys(folders, rope=longrope, max_model_len=n) for n in (32, 64)}
    assert len(found) == 2


@pytest.mark.parametrize("request_", [{"prompt_embeds": 1}, {"skip_reading_prefix_cache": True}])
def test_a_request_whose_tokens_do_not_tell_its_bytes_has_no_keys(folders, request_):
    assert keys(folders, request_) is None
