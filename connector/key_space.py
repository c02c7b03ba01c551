"""What the keys of a model's requests cover: everything beside the tokens that shapes the bytes."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvtransfer.errors import ConfigError
from kvtransfer.keys import KeyChain, namespace
from kvtransfer.weights import fingerprint

from .rope import depends_on_length

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.v1.request import Request

    from kvtransfer.config import TransferConfig

    from .vllm_facts import ModelFacts

# Salts and adapters whose namespace is kept.
_REMEMBERED = 256


class KeySpace:
    """The keys of a model's requests: everything that shapes the bytes is in them.

    ``epoch`` tells apart what was cached before and after the weights may have changed.
    """

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

    def chain(self, request: Request, epoch: str) -> KeyChain | None:
        """The key chain of ``request``; None for one whose tokens don't tell its bytes."""
        if request.prompt_embeds is not None or request.skip_reading_prefix_cache:
            return None
        space = self._space(epoch, request.cache_salt, self._adapter(request))
        extras = media_extras(request.mm_features, self._chunk_tokens)
        return KeyChain(self._chunk_tokens, namespace=space, extras=extras)

    def _new_space(self, epoch: str, salt: str | None, adapter: tuple[str, str] | None) -> bytes:
        own = {"epoch": epoch, "salt": salt, "lora": adapter}
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
        "weights": _weights(vllm_config),
        "model_dtype": str(model.dtype),
        "cache_dtype": vllm_config.cache_config.cache_dtype,
        "quantization": model.quantization,
    }
    if depends_on_length(model):
        facts["max_model_len"] = model.max_model_len
    return facts


def _weights(vllm_config: VllmConfig) -> list[object]:
    load_format = vllm_config.load_config.load_format
    kind = ["dummy", vllm_config.model_config.seed] if load_format == "dummy" else []
    return [*kind, fingerprint(_model_folder(vllm_config))]


def _model_folder(vllm_config: VllmConfig) -> Path:
    model = vllm_config.model_config
    if Path(model.model).is_dir():
        return Path(model.model)
    from huggingface_hub import snapshot_download

    cache = vllm_config.load_config.download_dir
    try:
        found = snapshot_download(
            model.model, revision=model.revision, cache_dir=cache, local_files_only=True
        )
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"can't tell the weights of {model.model!r} from others: no folder of it found "
            f"({type(error).__name__}); download the model and give vLLM the folder"
        ) from None
    return Path(found)
