"""Computes the bytes of a recurrent layer's state, as vLLM lays it out. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from kvtransfer.simulate.break_even.model_config import ModelConfig

_NUMBER_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


class State(NamedTuple):
    """The numbers that a layer keeps of a prefix, on all ranks together."""

    convolution: int
    recurrent: int = 0
    recurrent_dtype: str = ""
    """Empty: as the model computes."""


def state_bytes(config: ModelConfig, dtype: str, ranks: int) -> int:
    """The bytes of one layer's state on each of ``ranks`` that share its heads.

    Args:
        config: the model's.
        dtype: the one that the model computes in.
        ranks: tensor-parallel workers.

    Raises:
        ConfigError: the file has no sizes of a state that is known.
    """
    state = _state(config)
    own_dtype = config.get("mamba_ssm_cache_dtype", "mamba_ssm_dtype") or state.recurrent_dtype
    number_bytes = _NUMBER_BYTES[dtype]
    recurrent_bytes = state.recurrent * _NUMBER_BYTES.get(str(own_dtype), number_bytes)
    return (state.convolution * number_bytes + recurrent_bytes) // ranks


def _state(config: ModelConfig) -> State:
    for key, read in _READERS.items():
        if key in config:
            return read(config)
    raise ConfigError(
        f"{config.name} has recurrent layers without the sizes of their state; one of "
        f"{', '.join(_READERS)} is needed"
    )


def _delta_net(config: ModelConfig) -> State:
    keys = config.count("linear_num_key_heads") * config.count("linear_key_head_dim")
    values = config.count("linear_num_value_heads") * config.count("linear_value_head_dim")
    past = config.count("linear_conv_kernel_dim") - 1
    return State(past * (2 * keys + values), values * config.count("linear_key_head_dim"))


def _kimi_delta(config: ModelConfig) -> State:
    own = config.part("linear_attn_config")
    dim = own.count("head_dim")
    width = own.count("num_heads") * dim
    return State((own.count("short_conv_kernel_size") - 1) * 3 * width, width * dim, "float32")


def _mamba_2(config: ModelConfig) -> State:
    heads = config.count("mamba_n_heads", "mamba_num_heads")
    width = heads * config.count("mamba_d_head", "mamba_head_dim")
    size = config.count("mamba_d_state", "ssm_state_size")
    past = config.count("mamba_d_conv", "conv_kernel") - 1
    groups = config.count("mamba_n_groups", "n_groups")
    return State(past * (width + 2 * groups * size), width * size)


def _mamba_1(config: ModelConfig) -> State:
    width = config.count("mamba_expand") * config.count("hidden_size")
    past = config.count("mamba_d_conv") - 1
    return State(past * width, width * config.count("mamba_d_state"))


def _short_convolution(config: ModelConfig) -> State:
    return State((config.count("conv_L_cache") - 1) * config.count("conv_dim", "hidden_size"))


_READERS = {
    "linear_num_value_heads": _delta_net,
    "linear_attn_config": _kimi_delta,
    "mamba_n_heads": _mamba_2,
    "mamba_num_heads": _mamba_2,
    "mamba_d_state": _mamba_1,
    "conv_L_cache": _short_convolution,
}
"""What reads a state, by a field that only models with such states have."""
