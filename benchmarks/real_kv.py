"""Computes the KV of a real text by a real small model: SmolLM2-135M, by transformers, on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from tokenizers import Tokenizer

from demo.smollm2 import model_folder
from demo.texts import real_text
from kvtransfer.chunks.layout import ChunkFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

CHUNK_TOKENS = 256


def kv_chunks(dtype: str, tokens: int) -> tuple[ChunkFormat, Sequence[memoryview]]:
    """The chunks of the first ``tokens`` of a text, and their format.

    Args:
        dtype: in which the model computes and keeps its cache, as torch spells it.
        tokens: a multiple of ``CHUNK_TOKENS``.

    Raises:
        FileNotFoundError: the model or the text isn't installed; the message says what to install.
    """
    from transformers import LlamaForCausalLM

    folder = model_folder()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    body = real_text().body[: 12 * tokens]
    ids = tokenizer.encode(body, add_special_tokens=False).ids[:tokens]
    model = LlamaForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    with torch.no_grad():
        cache = model(torch.tensor([ids]), use_cache=True, logits_to_keep=1).past_key_values
    # As chunks have it: layers, keys and values, tokens, heads, dim.
    layers = [torch.stack([layer.keys[0], layer.values[0]]) for layer in cache.layers]
    kv = torch.stack(layers).transpose(2, 3)
    form = ChunkFormat.split(dtype, *_shape(kv))
    return form, [_bytes(chunk) for chunk in kv.split(CHUNK_TOKENS, dim=2)]


def _shape(kv: torch.Tensor) -> tuple[int, int, int, int]:
    layers, _, _, heads, dim = kv.shape
    return layers, CHUNK_TOKENS, heads, dim


def _bytes(chunk: torch.Tensor) -> memoryview:
    raw = chunk.contiguous().flatten().view(torch.uint8).numpy()
    return np.array(raw).data
