"""Lists the model families that are used most, each with a configuration to compute its groups from.

A configuration is the default one of a class of transformers or of vLLM, with the changes listed
here. Layers without a cache (experts, embeddings) may be smaller than in a published model; what
shapes the cache is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Family:
    """One model family."""

    name: str
    architecture: str
    """The architecture that vLLM loads it by."""
    config: str
    """A ``model_type`` of transformers, or ``module:Class``."""
    changes: dict[str, object] = field(default_factory=dict)
    """What differs from the default configuration of the class."""
    dropped: tuple[str, ...] = ()
    """What of the default configuration vLLM's own class of it doesn't take."""
    note: str = ""
    """What a reader should know of the changes."""
    layout: str = "LBNHC"
    """The order of layers, blocks, heads, tokens and content in memory, as vLLM names it."""

    @property
    def file(self) -> str:
        """The name of its record."""
        return self.name.lower().replace(" ", "-").replace("/", "-") + ".json"


_MINUTE = {"hidden_size": 256, "intermediate_size": 256, "vocab_size": 512}
_KIMI_FULL = [4, 8, 12, 16, 20, 24, 27]
_DENSE = "dense layers stand for the experts, which keep no cache"
_LFM2_LAYERS = [
    "full_attention" if layer in {2, 5, 8, 10, 12, 14} else "conv" for layer in range(16)
]
_VLLM = "vllm.transformers_utils.configs"

NOT_COMPUTED = {
    "Kimi K3": "the default configuration that vLLM has of it leaves out the sizes of attention",
    "Nemotron 3": "its layers are those of Nemotron H, with experts that a CPU can't build",
}
"""Families without a record, each with its reason."""

FAMILIES = (
    Family("Llama 3", "LlamaForCausalLM", "llama", {"num_key_value_heads": 8}),
    Family("Llama 4", "Llama4ForCausalLM", "llama4_text"),
    Family("Qwen 2.5", "Qwen2ForCausalLM", "qwen2", {"num_key_value_heads": 8}),
    Family("Qwen 3", "Qwen3ForCausalLM", "qwen3", {"num_key_value_heads": 8}),
    Family("Qwen 3 MoE", "Qwen3MoeForCausalLM", "qwen3_moe"),
    Family("Qwen 3.5", "Qwen3_5ForCausalLM", "qwen3_5_text"),
    Family("Qwen 3 Next", "Qwen3NextForCausalLM", "qwen3_next"),
    Family("Gemma 2", "Gemma2ForCausalLM", "gemma2"),
    Family("Gemma 3", "Gemma3ForCausalLM", "gemma3_text"),
    Family(
        "Gemma 3n",
        "Gemma3nForCausalLM",
        "gemma3n_text",
        {**_MINUTE, "intermediate_size": [256] * 35, "vocab_size_per_layer_input": 512},
        note="layers without a cache are made small",
    ),
    Family("Gemma 4", "Gemma4ForCausalLM", "gemma4_text"),
    Family("gpt-oss", "GptOssForCausalLM", "gpt_oss"),
    Family("Mistral", "MistralForCausalLM", "mistral", {"sliding_window": None}),
    Family("Mistral 7B v0.1", "MistralForCausalLM", "mistral"),
    Family("Mixtral", "MixtralForCausalLM", "mixtral"),
    Family("DeepSeek V3", "DeepseekV3ForCausalLM", "deepseek_v3"),
    Family("DeepSeek V3.2", "DeepseekV32ForCausalLM", "deepseek_v32"),
    Family(
        "DeepSeek V4",
        "DeepseekV4ForCausalLM",
        "deepseek_v4",
        {"compress_ratios": [128, 128, *[128, 4] * 20, 128], "num_hash_layers": 3},
        ("mlp_layer_types",),
        "these are the names that vLLM has for layer_types and mlp_layer_types",
        "BLNHC",  # vLLM deals its layers into groups in no other
    ),
    Family("GLM-4.5", "Glm4MoeForCausalLM", "glm4_moe", {"head_dim": 128}),
    Family("GLM-5", "GlmMoeDsaForCausalLM", "glm_moe_dsa"),
    Family(
        "Kimi K2",
        "DeepseekV3ForCausalLM",
        "deepseek_v3",
        {"num_attention_heads": 64, "num_key_value_heads": 64, "n_routed_experts": 384},
    ),
    Family(
        "Kimi Linear",
        "KimiLinearForCausalLM",
        f"{_VLLM}.kimi_linear:KimiLinearConfig",
        {
            "num_hidden_layers": 27,
            "hidden_size": 2304,
            "kv_lora_rank": 512,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "v_head_dim": 128,
            "mla_use_nope": True,
            "linear_attn_config": {
                "full_attn_layers": _KIMI_FULL,
                "kda_layers": [layer for layer in range(1, 28) if layer not in _KIMI_FULL],
                "num_heads": 32,
                "head_dim": 128,
                "short_conv_kernel_size": 4,
            },
        },
        note=_DENSE,
    ),
    Family(
        "MiniMax M2",
        "MiniMaxM2ForCausalLM",
        "minimax_m2",
        {"rotary_dim": 64, "scoring_func": "sigmoid"},
    ),
    Family(
        "MiniMax M3",
        "MiniMaxM3SparseForCausalLM",
        f"{_VLLM}.minimax_m3:MiniMaxM3Config",
        {"text_config": {"moe_layer_freq": [0] * 60}},
        note=_DENSE,
    ),
    Family(
        "Nemotron H",
        "NemotronHForCausalLM",
        "nemotron_h",
        {"hybrid_override_pattern": "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-"},
    ),
    Family(
        "Granite 4",
        "GraniteMoeHybridForCausalLM",
        "granitemoehybrid",
        {
            "num_hidden_layers": 40,
            "layer_types": (["mamba"] * 5 + ["attention"] + ["mamba"] * 4) * 4,
        },
    ),
    Family(
        "LFM2",
        "Lfm2ForCausalLM",
        "lfm2",
        {
            "num_hidden_layers": 16,
            "layer_types": _LFM2_LAYERS,
            "block_dim": 2560,
            "block_ff_dim": 12288,
            "block_multiple_of": 256,
            "block_ffn_dim_multiplier": 1.0,
            "block_auto_adjust_ff_dim": True,
            "conv_dim": 2560,
            "conv_dim_out": 2560,
        },
    ),
    Family("Falcon-H1", "FalconH1ForCausalLM", "falcon_h1"),
    Family("Phi-4", "Phi3ForCausalLM", "phi3"),
    Family("Cohere 2", "Cohere2ForCausalLM", "cohere2"),
    Family("OLMo 2", "Olmo2ForCausalLM", "olmo2"),
    Family("OLMo 3", "Olmo3ForCausalLM", "olmo3"),
    Family("OLMo Hybrid", "OlmoHybridForCausalLM", "olmo_hybrid"),
    Family("Jamba", "JambaForCausalLM", "jamba"),
    Family("Whisper", "WhisperForConditionalGeneration", "whisper"),
)
