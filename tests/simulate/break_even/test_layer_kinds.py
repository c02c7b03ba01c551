"""How many layers keep everything, a window, a local chunk or a state."""

from __future__ import annotations

import pytest

from kvtransfer.errors import ConfigError
from kvtransfer.simulate.break_even.layer_kinds import FULL, LOCAL, STATE, WINDOW, layer_counts
from tests.simulate.break_even.configs import config


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, {FULL: 32}),
        ({"sliding_window": 4096}, {WINDOW: 32}),
        ({"sliding_window": 4096, "use_sliding_window": False}, {FULL: 32}),
        ({"sliding_window": 4096, "max_window_layers": 28}, {FULL: 28, WINDOW: 4}),
        ({"sliding_window": 0}, {FULL: 32}),
        ({"sliding_window": 4096, "sliding_window_pattern": 6}, {FULL: 5, WINDOW: 27}),
        ({"sliding_window_pattern": 6}, {FULL: 32}),
        ({"no_rope_layer_interval": 4}, {FULL: 8, LOCAL: 24}),
        ({"full_attention_interval": 4}, {FULL: 8, STATE: 24}),
        ({"attn_layer_period": 8, "attn_layer_offset": 4}, {FULL: 4, STATE: 28}),
        ({"linear_attn_config": {"full_attn_layers": [4, 8]}}, {FULL: 2, STATE: 30}),
        ({"hybrid_override_pattern": "M-M*-E"}, {FULL: 1, STATE: 2}),
        ({"layers_block_type": ["mamba", "attention", "mlp"]}, {FULL: 1, STATE: 1}),
        ({"layer_types": ["chunked_attention", "full_attention"]}, {LOCAL: 1, FULL: 1}),
        ({"layer_types": ["indexed_attention"] * 3}, {FULL: 3}),
        (
            {"layer_types": ["sliding_attention", "full_attention"] * 3, "num_kv_shared_layers": 2},
            {FULL: 2, WINDOW: 2},
        ),
        ({"model_type": "falcon_h1"}, {FULL: 32, STATE: 32}),
    ],
)
def test_layers_are_counted_by_what_the_file_says(changes, counts):
    assert +layer_counts(config(**changes)) == counts


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"layer_types": ["holographic"]},
            "a layer of the kind 'holographic', .*; known are full_",
        ),
        ({"hybrid_override_pattern": "M?"}, r"a layer of the kind '\?'"),
        ({"num_hidden_layers": None}, "has nothing as num_hidden_layers"),
        ({"layer_types": 7}, "has 7 as layer_types; a list of str is needed"),
    ],
)
def test_what_is_not_understood_is_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        layer_counts(config(**changes))
