"""Random models small enough to start in seconds, yet whose answers depend on every token read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import torch

VOCABULARY = 512
END = "<|endoftext|>"
CHAT_TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
QWEN3: dict[str, Any] = {
    "model_type": "qwen3",
    "architectures": ["Qwen3ForCausalLM"],
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,  # the least that vLLM's CPU attention takes
    "max_position_embeddings": 4096,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "torch_dtype": "float32",
}
LLAMA = {**QWEN3, "model_type": "llama", "architectures": ["LlamaForCausalLM"]}
GEMMA3 = {  # one layer sees a window, the other everything
    **QWEN3,
    "model_type": "gemma3_text",
    "architectures": ["Gemma3ForCausalLM"],
    "layer_types": ["sliding_attention", "full_attention"],
    "sliding_window": 128,
    "query_pre_attn_scalar": 32,
    "hidden_activation": "gelu_pytorch_tanh",
    "tie_word_embeddings": True,
}

# A usual 0.02 lets the residual stream drown attention: wrong KV would go unnoticed.
_WEIGHT_STD = 0.3
_QUERY_NORM = 2.0  # sharpens attention, so that one block among many counts


def write_model(folder: Path, config: dict[str, Any] = QWEN3, *, seed: int = 0) -> Path:
    """A new folder that vLLM can serve: the same bytes for the same arguments."""
    import torch
    from safetensors.torch import save_file

    write_config(folder, config)
    _write_tokenizer(folder)
    random = torch.Generator().manual_seed(seed)
    weights = {name: _weight(name, shape, random) for name, shape in _shapes(config)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def write_config(folder: Path, config: dict[str, Any]) -> Path:
    """A new folder with nothing but ``config.json``, for ``load_format="dummy"``."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    return folder


def _weight(name: str, shape: tuple[int, ...], random: torch.Generator) -> torch.Tensor:
    import torch

    if "norm" in name:
        return torch.full(shape, _QUERY_NORM if "q_norm" in name else 1.0)
    return torch.randn(shape, generator=random) * _WEIGHT_STD


def _shapes(config: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, vocabulary = config["hidden_size"], config["vocab_size"]
    yield "model.embed_tokens.weight", (vocabulary, hidden)
    for layer in range(config["num_hidden_layers"]):
        for name, shape in _layer_shapes(config):
            yield f"model.layers.{layer}.{name}.weight", shape
    yield "model.norm.weight", (hidden,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (vocabulary, hidden)


def _layer_shapes(config: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, inner, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries = config["num_attention_heads"] * head
    keys = config["num_key_value_heads"] * head
    yield "input_layernorm", (hidden,)
    yield "self_attn.q_proj", (queries, hidden)
    yield "self_attn.k_proj", (keys, hidden)
    yield "self_attn.v_proj", (keys, hidden)
    yield "self_attn.o_proj", (hidden, queries)
    if config["model_type"] != "llama":
        yield "self_attn.q_norm", (head,)
        yield "self_attn.k_norm", (head,)
    yield "post_attention_layernorm", (hidden,)
    if config["model_type"] == "gemma3_text":
        yield "pre_feedforward_layernorm", (hidden,)
        yield "post_feedforward_layernorm", (hidden,)
    yield "mlp.gate_proj", (inner, hidden)
    yield "mlp.up_proj", (inner, hidden)
    yield "mlp.down_proj", (hidden, inner)


def _write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[END],
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the quick brown fox jumps over the lazy dog"] * 50, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "pad_token": END,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
