"""What the keys of a model's requests cover: everything beside the tokens that shapes the bytes."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvtransfer.keys import KeyChain, namespace, tenant_of_salt
from kvtransfer.weights import fingerprint

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.v1.request import Request

    from kvtransfer.config import TransferConfig

    from .vllm_facts import ModelFacts

# Salts and adapters whose namespace is kept.
_REMEMBERED = 256
# Their angles don't depend on max_model_len; those of others may.
_PLAIN_ROPE = {None, "default", "linear", "llama3", "yarn", "mrope"}


class KeySpace:
    """The keys of a model's requests: everything that shapes the bytes is in them."""

    def __init__(self, vllm_config: VllmConfig, facts: ModelFacts, config: TransferConfig) -> None:
        chunk = facts.chunk
        self._chunk_tokens = chunk.tokens
        self._facts = {
            **_model_facts(vllm_config),
            "ranks": facts.ranks,
            "layout": chunk.layout,
            "dtype": chunk.dtype,
            "shape": list(chunk.shape),
            "operator": config.namespace,
        }
        self._adapters: dict[str, str] = {}
        self._space = lru_cache(_REMEMBERED)(self._new_space)

    def chain(self, request: Request, weights: str) -> KeyChain | None:
        """The key chain of ``request``; None for one whose tokens don't tell its bytes.

        Args:
            request: vLLM's.
            weights: the name of those that compute it.
        """
        if request.prompt_embeds is not None or request.skip_reading_prefix_cache:
            return None
        space = self._space(weights, request.cache_salt, self._adapter(request))
        extras = media_extras(request.mm_features, self._chunk_tokens)
        tenant = tenant_of_salt(request.cache_salt)
        return KeyChain(self._chunk_tokens, namespace=space, extras=extras, tenant=tenant)

    def _new_space(self, weights: str, salt: str | None, adapter: tuple[str, str] | None) -> bytes:
        own = {"weights": weights, "salt": salt, "lora": adapter}
        return namespace({**self._facts, **{k: v for k, v in own.items() if v}})

    def _adapter(self, request: Request) -> tuple[str, str] | None:
        lora = request.lora_request
        if lora is None:
            return None
        path = lora.lora_path
        if path not in self._adapters:
            folder = Path(path)
            self._adapters[path] = fingerprint(folder) if folder.is_dir() else path
        return lora.lora_name, self._adapters[path]


def media_extras(features: list[Any], chunk_tokens: int) -> list[bytes]:
    """For each chunk up to the last that a medium touches, which media at which places it holds.

    Args:
        features: vLLM's, each with ``identifier`` and ``mm_position`` in tokens.
        chunk_tokens: tokens in a chunk.
    """
    spans = [(f.identifier, f.mm_position.offset, f.mm_position.length) for f in features]
    end_token = max((offset + length for _, offset, length in spans), default=0)
    extras = []
    for start in range(0, end_token, chunk_tokens):
        inside = [
            [identifier, offset - start]
            for identifier, offset, length in spans
            if offset < start + chunk_tokens and offset + length > start
        ]
        extras.append(json.dumps(inside).encode() if inside else b"")
    return extras


def _model_facts(vllm_config: VllmConfig) -> dict[str, object]:
    model = vllm_config.model_config
    architecture = json.loads(model.hf_config.to_json_string())
    for name in ("_name_or_path", "transformers_version"):
        architecture.pop(name, None)
    facts = {
        "architecture": architecture,
        "model_dtype": str(model.dtype),
        "cache_dtype": vllm_config.cache_config.cache_dtype,
        "quantization": model.quantization,
    }
    rope = getattr(model.hf_text_config, "rope_parameters", None) or {}
    if rope.get("rope_type") not in _PLAIN_ROPE:
        facts["max_model_len"] = model.max_model_len
    return facts
