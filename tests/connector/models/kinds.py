"""Configurations of tiny models whose layers keep several kinds of cache, for random weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.connector import tiny_model
from tests.connector.tiny_model import QWEN3, VOCABULARY

SLIDING, FULL, LOCAL = "sliding_attention", "full_attention", "chunked_attention"
LINEAR, CONVOLUTION, MAMBA = "linear_attention", "conv", "mamba"
WINDOW_TOKENS = 128

Config = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A tiny model, and how vLLM has to be started for it."""

    name: str
    config: Config
    options: dict[str, Any] = field(default_factory=dict)
    """Arguments of ``LLM`` that this kind needs."""
    draft: Config | None = None
    """The configuration of an EAGLE draft."""
    chunks: int = 5
    """How many chunks the prompts of tests have."""
    splits_exactly: bool = True
    """Whether vLLM computes a prompt in several steps as it computes it in one."""


def _config(model_type: str, architecture: str, layers: int, **fields: Any) -> Config:
    """What all tiny models have, and ``fields``."""
    named = {"model_type": model_type, "architectures": [architecture]}
    return {**QWEN3, **named, "num_hidden_layers": layers, **fields}


_GEMMA = {
    "sliding_window": WINDOW_TOKENS,
    "query_pre_attn_scalar": 32,
    "hidden_activation": "gelu_pytorch_tanh",
    "tie_word_embeddings": True,
}
_MAMBA2 = {
    "mamba_n_heads": 8,
    "mamba_d_head": 32,
    "mamba_n_groups": 1,
    "mamba_d_state": 16,
    "mamba_d_conv": 4,
    "mamba_expand": 2,
    "mamba_chunk_size": 1000,  # unlike vLLM's blocks, so that it isn't taken for one
    "attention_bias": False,
}

GEMMA2 = Kind(
    "gemma2",
    _config(
        "gemma2",
        "Gemma2ForCausalLM",
        4,
        **_GEMMA,
        layer_types=[SLIDING, FULL] * 2,
        attn_logit_softcapping=50.0,
        final_logit_softcapping=30.0,
    ),
)
GEMMA3 = Kind(
    "gemma3",
    _config(
        "gemma3_text",
        "Gemma3ForCausalLM",
        8,
        **{**_GEMMA, "sliding_window": 100},  # no multiple of a block
        layer_types=([SLIDING] * 3 + [FULL]) * 2,
    ),
)
GEMMA3N = Kind(
    "gemma3n",
    _config(
        "gemma3n_text",
        "Gemma3nForCausalLM",
        4,
        **_GEMMA,
        layer_types=[SLIDING, FULL] * 2,
        num_kv_shared_layers=2,
        vocab_size_per_layer_input=VOCABULARY,
        hidden_size_per_layer_input=32,
        intermediate_size=[128] * 4,
        activation_sparsity_pattern=[0.0] * 4,
        altup_num_inputs=2,
        altup_active_idx=0,
        altup_coef_clip=120.0,
        altup_correct_scale=True,
        laurel_rank=16,
        rope_local_base_freq=10000.0,
        final_logit_softcapping=30.0,
    ),
)
GEMMA4 = Kind(  # heads of two sizes, hence blocks of two sizes
    "gemma4",
    _config(
        "gemma4_text",
        "Gemma4ForCausalLM",
        6,
        **_GEMMA,
        layer_types=[SLIDING] * 5 + [FULL],
        global_head_dim=64,
        num_global_key_value_heads=1,
        hidden_size_per_layer_input=0,
        vocab_size_per_layer_input=VOCABULARY,
        num_kv_shared_layers=0,
        attention_k_eq_v=False,
        enable_moe_block=False,
        final_logit_softcapping=30.0,
    ),
)
GPT_OSS = Kind(
    "gpt-oss",
    _config(
        "gpt_oss",
        "GptOssForCausalLM",
        4,
        layer_types=[SLIDING, FULL] * 2,
        sliding_window=WINDOW_TOKENS,
        num_local_experts=4,
        num_experts_per_tok=2,
        attention_bias=True,
        swiglu_limit=7.0,
        rope_scaling={
            "rope_type": "yarn",
            "factor": 32.0,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "original_max_position_embeddings": 4096,
            "truncate": False,
        },
    ),
)
MISTRAL = Kind(  # no layer sees everything
    "mistral",
    _config("mistral", "MistralForCausalLM", 2, sliding_window=WINDOW_TOKENS),
)
LLAMA4 = Kind(
    "llama4",
    _config(
        "llama4_text",
        "Llama4ForCausalLM",
        4,
        layer_types=[LOCAL] * 3 + [FULL],
        no_rope_layers=[1, 1, 1, 0],
        attention_chunk_size=128,
        intermediate_size_mlp=128,
        num_local_experts=2,
        num_experts_per_tok=1,
        interleave_moe_layer_step=2,
        use_qk_norm=True,
        attn_temperature_tuning=False,
    ),
)
COHERE2 = Kind(
    "cohere2",
    _config(
        "cohere2",
        "Cohere2ForCausalLM",
        4,
        layer_types=[SLIDING] * 3 + [FULL],
        sliding_window=WINDOW_TOKENS,
        logit_scale=1.0,
        layer_norm_eps=1e-5,
        tie_word_embeddings=True,
    ),
)
LFM2 = Kind(
    "lfm2",
    _config(
        "lfm2",
        "Lfm2ForCausalLM",
        4,
        hidden_size=128,
        layer_types=[CONVOLUTION, FULL, CONVOLUTION, CONVOLUTION],
        conv_L_cache=3,
        conv_bias=False,
        conv_dim=128,
        conv_dim_out=128,
        norm_eps=1e-5,
        block_dim=128,
        block_ff_dim=128,
        block_multiple_of=32,
        block_ffn_dim_multiplier=1.0,
        block_auto_adjust_ff_dim=False,
        tie_word_embeddings=True,
    ),
    splits_exactly=False,  # on a CPU a convolution over a seam comes out otherwise
)
QWEN3_NEXT = Kind(
    "qwen3-next",
    _config(
        "qwen3_next",
        "Qwen3NextForCausalLM",
        4,
        layer_types=[LINEAR] * 3 + [FULL],
        linear_conv_kernel_dim=4,
        linear_key_head_dim=128,
        linear_value_head_dim=128,
        linear_num_key_heads=1,
        linear_num_value_heads=2,
        partial_rotary_factor=0.25,
        num_experts=4,
        num_experts_per_tok=2,
        decoder_sparse_step=1,
        moe_intermediate_size=32,
        shared_expert_intermediate_size=32,
        mlp_only_layers=[0, 1, 2],
        attention_bias=False,
        norm_topk_prob=True,
        output_router_logits=False,
    ),
    options={"dtype": "bfloat16"},  # its kernels for CPUs take no other
    chunks=2,  # of 288 tokens each
    splits_exactly=False,  # in 16 bits
)
GRANITE4 = Kind(
    "granite4",
    _config(
        "granitemoehybrid",
        "GraniteMoeHybridForCausalLM",
        4,
        **_MAMBA2,
        hidden_size=128,
        layer_types=[MAMBA, MAMBA, "attention", MAMBA],
        layers_block_type=[MAMBA, MAMBA, "attention", MAMBA],
        mamba_conv_bias=True,
        mamba_proj_bias=False,
        num_local_experts=0,
        num_experts_per_tok=0,
        shared_intermediate_size=128,
        position_embedding_type="rope",
        embedding_multiplier=1.0,
        logits_scaling=1.0,
        residual_multiplier=1.0,
        attention_multiplier=0.17,
    ),
)
NEMOTRON_H = Kind(
    "nemotron-h",
    _config(
        "nemotron_h",
        "NemotronHForCausalLM",
        4,
        hybrid_override_pattern="M-*M",
        mamba_num_heads=4,
        mamba_head_dim=32,
        n_groups=1,
        ssm_state_size=16,
        conv_kernel=4,
        chunk_size=1000,
        expand=2,
        mamba_hidden_act="silu",
        mlp_hidden_act="relu2",
        attention_head_dim=32,
        use_conv_bias=True,
        use_bias=False,
        layer_norm_epsilon=1e-5,
        attention_bias=False,
        mlp_bias=False,
        residual_in_fp32=False,
        use_mamba_kernels=True,
    ),
)
FALCON_H1 = Kind(  # attention and a state in each layer
    "falcon-h1",
    _config(
        "falcon_h1",
        "FalconH1ForCausalLM",
        2,
        **{**_MAMBA2, "mamba_n_heads": 4},
        mamba_d_ssm=128,
        mamba_conv_bias=True,
        mamba_proj_bias=False,
        mamba_rms_norm=False,
        mamba_norm_before_gate=True,
        attention_in_multiplier=1.0,
        attention_out_multiplier=1.0,
        ssm_in_multiplier=1.0,
        ssm_out_multiplier=1.0,
        ssm_multipliers=[1.0] * 5,
        mlp_multipliers=[1.0, 1.0],
        key_multiplier=1.0,
        lm_head_multiplier=1.0,
        embedding_multiplier=1.0,
        mlp_bias=False,
        projectors_bias=False,
    ),
)
LLAMA = Kind("llama", tiny_model.LLAMA)  # one group, and nothing but full attention
EAGLE = Kind("llama-eagle", LLAMA.config, draft={**LLAMA.config, "num_hidden_layers": 1})

KINDS = (
    GEMMA2,
    GEMMA3,
    GEMMA3N,
    GEMMA4,
    GPT_OSS,
    MISTRAL,
    LLAMA4,
    COHERE2,
    LFM2,
    QWEN3_NEXT,
    GRANITE4,
    NEMOTRON_H,
    FALCON_H1,
    EAGLE,
)
