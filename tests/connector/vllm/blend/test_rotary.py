"""Keys that are moved to a position are the keys that vLLM rotates there, by every kind of rope."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.connector.vllm.blend.rotary import rotation_of
from kvtransfer.errors import ConfigError
from kvtransfer.kernels.rotation_reference import rotated
from kvtransfer.kernels.token_move import TokenMove

DIM, HEADS, TOKENS, FAR = 64, 2, 40, 16384
FORM = ChunkFormat.split("float32", 1, 256, HEADS, DIM)
YARN = {"factor": 4.0, "original_max_position_embeddings": 4096}
KINDS = {
    "default": {"rope_type": "default"},
    "interleaved": {"rope_type": "default", "neox": False},
    "partial": {"rope_type": "default", "partial_rotary_factor": 0.5},
    "partial, interleaved": {
        "rope_type": "default",
        "partial_rotary_factor": 0.25,
        "neox": False,
    },
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
    "linear": {"rope_type": "linear", "factor": 4.0},
    "dynamic, factor": {"rope_type": "dynamic", "factor": 2.0},
    "dynamic, alpha": {"rope_type": "dynamic", "alpha": 1000.0},
    "ntk": {"rope_type": "ntk", "factor": 4.0},
    "proportional": {"rope_type": "proportional", "partial_rotary_factor": 0.25},
    "yarn": {"rope_type": "yarn", **YARN},
    "deepseek_yarn": {
        "rope_type": "deepseek_yarn",
        "neox": False,
        **YARN,
        "mscale": 0.707,
        "mscale_all_dim": 1.0,
    },
    "longrope": {
        "rope_type": "longrope",
        "original_max_position_embeddings": 4096,
        "short_factor": [1.0 + i / 64 for i in range(DIM // 2)],
        "long_factor": [1.0 + i / 4 for i in range(DIM // 2)],
    },
}


def rope(max_model_len=FAR, dtype=torch.float32, **parameters):
    """The module of vLLM for these parameters of a model."""
    from vllm.config import VllmConfig, set_current_vllm_config
    from vllm.model_executor.layers import rotary_embedding

    config = VllmConfig()
    config.model_config = SimpleNamespace(max_model_len=max_model_len)
    neox = parameters.pop("neox", True)
    with set_current_vllm_config(config), pytest.MonkeyPatch.context() as patch:
        patch.setattr(rotary_embedding, "_ROPE_DICT", {})
        return rotary_embedding.get_rope(
            DIM, FAR, neox, {"rope_theta": 10000.0, **parameters}, dtype
        )


def at(rotary, keys, position):
    """``keys`` as vLLM rotates them at ``position`` and behind."""
    flat = keys.clone() if "Deepseek" in type(rotary).__name__ else keys.flatten(1).clone()
    positions = torch.arange(position, position + TOKENS)
    forward = getattr(rotary, "forward_native", rotary.forward)
    return forward(positions, torch.zeros_like(flat), flat)[1].view(keys.shape)


def moved(keys, rotation, source, target):
    return rotated(keys, TokenMove(0, TOKENS, [], 0, source, target), rotation)


@pytest.mark.parametrize("kind", KINDS)
def test_a_moved_key_is_the_key_of_its_new_position(kind):
    rotary = rope(**KINDS[kind])
    rotation = rotation_of({"layers.0": rotary}, FORM)
    keys = torch.randn(TOKENS, HEADS, DIM, generator=torch.Generator().manual_seed(0))
    last = min(FAR, rotation.positions) - TOKENS
    for source, target in ((0, 1), (5, last), (last, 3), (last // 2, last // 3)):
        there = at(rotary, keys, target)
        got = moved(at(rotary, keys, source), rotation, source, target)
        assert (got - there).abs().max() <= 1e-5 * there.abs().max()
    assert (at(rotary, keys, 5) - at(rotary, keys, last)).abs().max() > 0.5


@pytest.mark.parametrize("max_model_len", [4096, FAR])
def test_longrope_has_one_table_for_an_engine(max_model_len):
    rotary = rope(max_model_len, **KINDS["longrope"])
    assert rotation_of({"layers.0": rotary}, FORM).positions == max_model_len


def test_the_table_in_bfloat16_undoes_what_the_model_rounded():
    rotary = rope(dtype=torch.bfloat16)
    rotation = rotation_of({"layers.0": rotary}, FORM)
    assert rotation.table is rotary.cos_sin_cache
    keys = torch.randn(TOKENS, HEADS, DIM).bfloat16()
    there = at(rotary, keys, 9000)
    got = moved(at(rotary, keys, 12), rotation, 12, 9000)
    assert (got.float() - there.float()).abs().max() <= 2e-2 * there.float().abs().max()


def test_of_mla_the_end_of_the_content_is_rotated():
    rotary = rope(**KINDS["deepseek_yarn"])
    form = ChunkFormat.content("bfloat16", 1, 256, 1, 512 + DIM)
    rotation = rotation_of({"layers.0": rotary}, form)
    assert (rotation.start, rotation.size, rotation.pairing) == (512, DIM, "interleaved")


def test_layers_that_rotate_alike_share_a_rotation():
    one, other = (rope(**KINDS["llama3"]) for _ in range(2))
    assert one is not other
    rotation = rotation_of({"layers.0": one, "layers.1": other}, FORM)
    assert rotation.table is one.cos_sin_cache


class MRotaryEmbedding:
    """Stands in for vLLM's, as do those below."""


class Ernie4_5_VLRotaryEmbedding(MRotaryEmbedding):
    pass


class DualChunkRotaryEmbedding:
    pass


class FourierRotaryEmbedding:
    pass


def stand_in(**changes):
    fields = {"cos_sin_cache": torch.ones(8, DIM), "rotary_dim": DIM, "head_size": DIM}
    return SimpleNamespace(**{**fields, "is_neox_style": True, **changes})


@pytest.mark.parametrize(
    ("rotary", "message"),
    [
        (MRotaryEmbedding(), "layers.1 .MRotaryEmbedding. can't be moved: M-RoPE rotates by three"),
        (Ernie4_5_VLRotaryEmbedding(), "Ernie4_5_VLRotaryEmbedding.*M-RoPE"),
        (DualChunkRotaryEmbedding(), "dual chunk attention"),
        (FourierRotaryEmbedding(), "FoPE"),
        (None, "layers.1 .NoneType. can't be moved: it has no rotary embedding"),
        (stand_in(cos_sin_cache=torch.zeros(8, DIM)), "layers.1 rotates its keys otherwise than layer"),
        (stand_in(is_neox_style=False), "layers.1 rotates its keys otherwise than layer layers.0"),
        (stand_in(rotary_dim=32), "its table is of 64 elements, but it rotates 32"),
        (stand_in(head_size=128), "rotates heads of 128 elements, and a chunk in layout split has 64"),
        (stand_in(cos_sin_cache=torch.ones(8, DIM, dtype=torch.complex64)), "complex64"),
        (stand_in(cos_sin_cache=None), "has no table of cosines and sines"),
    ],
)  # fmt: skip
def test_a_model_whose_keys_cannot_be_moved_is_refused_with_the_reason(rotary, message):
    with pytest.raises(ConfigError, match=message):
        rotation_of({"layers.0": stand_in(), "layers.1": rotary}, FORM)


def test_a_model_without_attention_is_refused():
    with pytest.raises(ConfigError, match="no attention layers"):
        rotation_of({}, FORM)


def test_the_names_of_refused_classes_are_those_of_vllm():
    from vllm.model_executor.layers import rotary_embedding

    for ours in (MRotaryEmbedding, DualChunkRotaryEmbedding, FourierRotaryEmbedding):
        assert hasattr(rotary_embedding, ours.__name__)
    assert issubclass(rotary_embedding.BailingMRotaryEmbedding, rotary_embedding.MRotaryEmbedding)
