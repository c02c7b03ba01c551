"""Builds key chains from everything that shapes a chunk's bytes besides its tokens."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import KeyChain, namespace, tenant_of_salt
from kvtransfer.connector.vllm.keys.draft_facts import draft_facts
from kvtransfer.connector.vllm.keys.rope import depends_on_length

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vllm.config import VllmConfig
    from vllm.v1.request import Request

    from kvtransfer.config import TransferConfig
    from kvtransfer.connector.vllm.caches.stages import Stages
    from kvtransfer.connector.vllm.keys.media import Medium

# How many namespaces we keep, each for one salt and adapter.
_REMEMBERED = 256


class KeyBuilder:
    """Makes the key chains of one model's requests.

    Keys cover the model, its settings and weights, the adapter, the media and the salt.
    """

    def __init__(self, vllm_config: VllmConfig, stages: Stages, config: TransferConfig) -> None:
        groups = stages.groups
        chunk = stages.facts[0].cache_groups[groups.main].chunk.entries
        self._chunk_tokens = groups.chunk_tokens
        self._facts = {
            **configured_facts(vllm_config),
            "ranks": stages.ranks.shards,
            "layout": chunk.layout,
            "dtype": chunk.dtype,
            "shape": list(chunk.shape),
            "operator": config.namespace,
        }
        if chunk.quantised:
            self._facts["codec"] = chunk.quantised.label
        if stages.ranks.stages > 1:
            self._facts["stages"] = stages.composition
        elif chunk.sections or not groups.are_one:
            self._facts["groups"] = stages.composition[0]
        if draft := draft_facts(vllm_config):
            self._facts["draft"] = draft
        self._media_facts = media_facts(vllm_config)
        self._space = lru_cache(_REMEMBERED)(self._new_space)

    def chain(
        self, request: Request, weights: str, adapter: str | None, media: Sequence[Medium]
    ) -> KeyChain:
        """Return the key chain of ``request``, still without keys.

        Args:
            request: vLLM's request.
            weights: the fingerprint of the weights that compute it.
            adapter: the digest of its LoRA adapter; None: it has none.
            media: its media, each under a name that tells its content.
        """
        space = self._space(weights, request.cache_salt, adapter, has_media=bool(media))
        extras = media_extras(media, self._chunk_tokens)
        tenant = tenant_of_salt(request.cache_salt)
        return KeyChain(self._chunk_tokens, namespace=space, extras=extras, tenant=tenant)

    def _new_space(
        self, weights: str, salt: str | None, adapter: str | None, *, has_media: bool
    ) -> bytes:
        media = self._media_facts if has_media else None
        own = {"weights": weights, "salt": salt, "lora": adapter, "media": media}
        return namespace({**self._facts, **{k: v for k, v in own.items() if v}})


def media_extras(media: Sequence[Medium], chunk_tokens: int) -> list[bytes]:
    """Render for each chunk the media that it holds a part of, with their places in the chunk.

    Args:
        media: each with an ``identifier`` and an ``mm_position`` in tokens.
        chunk_tokens: tokens in a chunk.

    Returns:
        JSON for each chunk up to the last with a medium; empty bytes for a chunk without media.
    """
    spans = [(f.identifier, f.mm_position.offset, f.mm_position.length) for f in media]
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


def configured_facts(vllm_config: VllmConfig) -> dict[str, object]:
    """Return what the configuration says of the model, apart from which weights it has."""
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
    if depends_on_length(model):
        facts["max_model_len"] = model.max_model_len
    return facts


def media_facts(vllm_config: VllmConfig) -> dict[str, object]:
    """Return the settings that, besides a medium's data, shape what a model makes of it."""
    config = getattr(vllm_config.model_config, "multimodal_config", None)
    names = ("video_pruning_rate", "video_pruning_method", "mm_encoder_attn_dtype")
    return {name: getattr(config, name, None) for name in names}
