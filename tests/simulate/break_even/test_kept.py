"""What layers keep of a token on each rank."""

from __future__ import annotations

import pytest

from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.chunks.reach import Everything, LocalChunks, State, Window
from kvtransfer.errors import ConfigError
from kvtransfer.simulate.break_even.kept import kept_layers
from tests.simulate.break_even.configs import DELTA_NET, LLAMA, MLA, WINDOWS, config


def forms(fields=LLAMA, ranks=1, dtype="bfloat16", **changes):
    """The reach of each kind of layers, and the form of 64 tokens."""
    found = kept_layers(config(fields, **changes), "bfloat16", dtype, ranks)
    return [(kept.reach, kept.form(64)) for kept in found]


def split(layers, heads, dim, dtype="bfloat16"):
    return ChunkFormat.split(dtype, layers, 64, heads, dim)


def test_keys_and_values_of_the_heads_that_they_have():
    assert forms() == [(Everything(), split(32, 8, 128))]
    assert forms(num_key_value_heads=None) == [(Everything(), split(32, 32, 128))]
    assert forms(head_dim=64) == [(Everything(), split(32, 8, 64))]
    assert forms(dtype="float8_e4m3fn") == [(Everything(), split(32, 8, 128, "float8_e4m3fn"))]


def test_heads_without_an_element_are_refused():
    with pytest.raises(ConfigError, match="has 32 heads in a hidden_size of 31"):
        forms(hidden_size=31)


def test_a_model_without_a_cache_and_windows_of_latents_are_refused():
    with pytest.raises(ConfigError, match="has no layer that keeps a cache"):
        forms(layer_types=["mlp"])
    with pytest.raises(ConfigError, match="has windows of latents"):
        forms(MLA, sliding_window=128)


def test_ranks_share_the_heads_and_repeat_them_where_there_are_too_few():
    assert forms(ranks=4) == [(Everything(), split(32, 2, 128))]
    assert forms(ranks=16) == [(Everything(), split(32, 1, 128))]
    with pytest.raises(ConfigError, match="--tensor-parallel-size 3 can't share 8 KV heads"):
        forms(ranks=3)


def test_every_rank_keeps_latents_whole():
    latent = ChunkFormat.content("bfloat16", 32, 64, 1, 576)
    assert forms(MLA) == forms(MLA, ranks=8) == [(Everything(), latent)]
    indexer = ChunkFormat.content("uint8", 32, 64, 1, 132)
    assert forms(MLA, index_head_dim=128) == [(Everything(), latent), (Everything(), indexer)]
    with pytest.raises(ConfigError, match="leave --kv-cache-dtype out"):
        forms(MLA, index_head_dim=128, dtype="float8_e4m3fn")


def test_windows_and_local_chunks_lie_beside_full_attention():
    assert forms(WINDOWS) == [(Everything(), split(16, 8, 128)), (Window(128), split(16, 8, 128))]
    assert forms(sliding_window=4096, sliding_window_pattern=4, model_type="cohere2")[1] == (
        Window(4097),
        split(24, 8, 128),
    )
    local = forms(no_rope_layer_interval=4, attention_chunk_size=8192)[1]
    assert local == (LocalChunks(8192), split(24, 8, 128))


def test_layers_that_read_everything_may_have_larger_heads():
    wide = {"global_head_dim": 512, "num_global_key_value_heads": 2}
    assert forms(WINDOWS, **wide)[0] == (Everything(), split(16, 2, 512))
    by_layer = {"per_layer_config": {"05": {"head_dim": 256}}}
    assert forms(WINDOWS, **by_layer)[0] == (Everything(), split(16, 8, 256))


def test_blocks_are_chosen_by_keys_of_their_own():
    sparse = {"sparse_attention_freq": [0, 1, 1], "sparse_index_dim": 128}
    indexer = ChunkFormat.content("bfloat16", 2, 64, 1, 128)
    assert forms(sparse_attention_config=sparse)[1] == (Everything(), indexer)


def test_a_state_has_one_form_whatever_the_tokens():
    attention, state = forms(DELTA_NET)
    assert attention == (Everything(), split(8, 8, 128))
    assert state == (State(), ChunkFormat.content("int8", 24, 1, 1, 1_097_728))
