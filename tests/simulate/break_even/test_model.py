"""The bytes of a load, compared with what the connector stores of the most used models."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.families import FAMILIES
from benchmarks.record_groups import write_config
from benchmarks.recorded_groups import cache_config, recorded
from kvtransfer.connector.vllm.caches.cache_groups import cache_groups
from kvtransfer.connector.vllm.caches.quantised_groups import quantise
from kvtransfer.errors import ConfigError
from kvtransfer.simulate.break_even.model import model_of
from kvtransfer.simulate.break_even.model_config import read_config
from tests.simulate.break_even.configs import DELTA_NET, LLAMA, MLA, WINDOWS, config

REFUSED = {"DeepSeek V4", "Whisper"}


@pytest.mark.vllm
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_bytes_are_those_that_the_connector_stores(family, tmp_path):
    write_config(family, tmp_path)
    record = recorded(family)
    if family.name in REFUSED:
        with pytest.raises(ConfigError, match="simulate doesn't know the model_type"):
            read_config(tmp_path)
        return
    model = model_of(
        read_config(tmp_path), block_tokens=record["computed"]["block_tokens_asked_for"]
    )
    plain = cache_groups(cache_config(record), 256)
    assert model.chunk_tokens == plain[0].tiling.chunk_tokens
    fields = json.loads((tmp_path / "config.json").read_text())
    text = SimpleNamespace(hf_text_config=SimpleNamespace(**fields.get("text_config", fields)))
    for codec in ("naive", "int8", "int5", "int4"):
        try:
            groups, load = quantise(plain, codec, text), model.load(codec)
        except ConfigError:
            assert not model.takes(codec), codec
            continue
        assert model.takes(codec), codec
        for tokens in (chunks * model.chunk_tokens for chunks in (1, 2, 5, 16, 17, 33, 64)):
            stored = sum(len(it.tiling.needed(tokens)) * it.chunk.nbytes for it in groups)
            assert load.nbytes(tokens) == stored, codec


def test_a_window_adds_its_end_alone():
    load = model_of(config(WINDOWS)).load("naive")
    half = 16 * 2 * 8 * 128 * 2
    assert load.nbytes(256) == 256 * half + 128 * half
    assert load.nbytes(25_600) == 25_600 * half + 128 * half
    assert load.chunk_bytes == 256 * half


def test_a_state_is_loaded_once_and_decides_the_length_of_chunks():
    model = model_of(config(DELTA_NET))
    load, token_bytes = model.load("naive"), 8 * 2 * 8 * 128 * 2
    assert model.chunk_tokens == 272  # of 16 tokens each, the least with room for a state
    assert load.nbytes(272 * 7) == 272 * 7 * token_bytes + 24 * 1_097_728


def test_a_model_of_states_alone_has_chunks_of_a_block():
    alone = config(conv_L_cache=3, layer_types=["conv"] * 4)
    assert model_of(alone, block_tokens=32).chunk_tokens == 32


def test_an_encoding_makes_attention_smaller_and_leaves_states():
    plain, encoded = (
        model_of(config(DELTA_NET), block_tokens=64).load(it) for it in ("naive", "int8")
    )
    assert plain.chunk_bytes / encoded.chunk_bytes == pytest.approx(16 / 8.5)
    assert plain.nbytes(320) - plain.chunk_bytes == encoded.nbytes(320) - encoded.chunk_bytes


def test_the_rotated_part_of_latents_is_not_encoded():
    load = model_of(config(MLA)).load("int8")
    assert load.chunk_bytes == 32 * 256 * (512 * 8.5 / 8 + 64 * 2)


def test_the_longest_context_and_the_dtype_are_the_files():
    assert model_of(config(max_position_embeddings=10**7)).most_tokens == 2**20
    assert model_of(config(dtype=None, torch_dtype="float32")).load("naive").chunk_bytes == 2**26
    with pytest.raises(ConfigError, match="has the dtype 'int7'; known are bfloat16"):
        model_of(config(dtype="int7"))


FIELDS = sorted(
    {*LLAMA, *MLA, *DELTA_NET, *WINDOWS, "linear_attn_config", "index_head_dim"}
    | {"sparse_attention_config", "per_layer_config", "num_kv_shared_layers"}
)
values = st.none() | st.integers(-2, 9) | st.booleans() | st.text(max_size=3) | st.just([])
odd = st.recursive(values, lambda it: st.lists(it) | st.dictionaries(st.text(max_size=3), it))


@given(
    fields=st.sampled_from([LLAMA, MLA, DELTA_NET, WINDOWS]),
    changes=st.dictionaries(st.sampled_from(FIELDS), odd, max_size=3),
)
def test_an_odd_file_is_read_or_refused_in_a_sentence(fields, changes):
    said, loaded = "", 0
    try:
        model = model_of(config(fields, **changes))
        loaded = model.load("int8").nbytes(model.chunk_tokens)
    except ConfigError as error:
        said = str(error)
    assert loaded >= 0
    assert "\n" not in said
