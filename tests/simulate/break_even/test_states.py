"""The bytes of a recurrent layer's state."""

from __future__ import annotations

import pytest

from kvtransfer.errors import ConfigError
from kvtransfer.simulate.break_even.states import state_bytes
from tests.simulate.break_even.configs import DELTA_NET, config

MAMBA_2 = {
    "mamba_n_heads": 128,
    "mamba_d_head": 64,
    "mamba_d_state": 256,
    "mamba_n_groups": 1,
    "mamba_d_conv": 4,
}


def test_a_delta_net_keeps_its_last_inputs_and_a_matrix_a_head():
    assert state_bytes(config(DELTA_NET), "bfloat16", 1) == 2 * (3 * 8192 + 32 * 128 * 128)


def test_the_matrix_may_have_a_dtype_of_its_own():
    own = config(DELTA_NET, mamba_ssm_dtype="float32")
    assert state_bytes(own, "bfloat16", 1) == 2 * 3 * 8192 + 4 * 32 * 128 * 128


def test_ranks_share_the_heads():
    assert state_bytes(config(**MAMBA_2), "float32", 1) == 4 * (3 * 8704 + 128 * 64 * 256)
    assert state_bytes(config(**MAMBA_2), "float32", 2) == 2 * (3 * 8704 + 128 * 64 * 256)


def test_a_short_convolution_keeps_its_last_inputs():
    assert state_bytes(config(conv_L_cache=3), "bfloat16", 1) == 2 * 2 * 4096


def test_sizes_that_are_missing_are_named():
    with pytest.raises(ConfigError, match="without the sizes of their state; one of linear_num"):
        state_bytes(config(), "bfloat16", 1)
    with pytest.raises(ConfigError, match="has nothing as mamba_d_conv or conv_kernel"):
        state_bytes(config(**{**MAMBA_2, "mamba_d_conv": None}), "bfloat16", 1)
