"""Random LoRA adapters of the tiny model, strong enough to change its answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.connector.tiny_model import QWEN3

if TYPE_CHECKING:
    from pathlib import Path

RANK = 8
OPTIONS = {"enable_lora": True, "max_lora_rank": RANK}
_HEAD = QWEN3["head_dim"]
_TARGETS = {
    "q_proj": QWEN3["num_attention_heads"] * _HEAD,
    "k_proj": QWEN3["num_key_value_heads"] * _HEAD,
    "v_proj": QWEN3["num_key_value_heads"] * _HEAD,
}


def write_adapter(folder: Path, *, seed: int = 0, alpha: int = RANK) -> Path:
    """A folder that vLLM can load, new or written over: the same bytes for the same arguments."""
    import torch
    from safetensors.torch import save_file

    random = torch.Generator().manual_seed(1000 + seed)
    weights = {}
    for layer in range(QWEN3["num_hidden_layers"]):
        for target, out in _TARGETS.items():
            name = f"base_model.model.model.layers.{layer}.self_attn.{target}"
            into = QWEN3["hidden_size"]
            weights[f"{name}.lora_A.weight"] = torch.randn(RANK, into, generator=random) * 0.3
            weights[f"{name}.lora_B.weight"] = torch.randn(out, RANK, generator=random) * 0.3
    folder.mkdir(exist_ok=True)
    settings = {"peft_type": "LORA", "r": RANK, "lora_alpha": alpha, "target_modules": [*_TARGETS]}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    save_file(weights, folder / "adapter_model.safetensors")
    return folder
