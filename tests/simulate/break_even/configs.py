"""Fields of small models, as a ``config.json`` has them."""

from __future__ import annotations

from kvtransfer.simulate.break_even.model_config import ModelConfig

LLAMA = {
    "model_type": "llama",
    "dtype": "bfloat16",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131_072,
}
MLA = {
    **LLAMA,
    "model_type": "deepseek_v3",
    "num_key_value_heads": 32,
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
}
DELTA_NET = {
    **LLAMA,
    "model_type": "qwen3_next",
    "full_attention_interval": 4,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
    "linear_value_head_dim": 128,
}
WINDOWS = {
    **LLAMA,
    "model_type": "gpt_oss",
    "layer_types": ["sliding_attention", "full_attention"] * 16,
    "sliding_window": 128,
}


def config(fields=LLAMA, **changes):
    """The model with ``changes``; a field that is None is missing."""
    return ModelConfig({**fields, **changes}, "config.json")
