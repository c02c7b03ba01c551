"""Reads what a model's ``config.json`` says of its layers, and refuses what isn't there in one sentence."""

from __future__ import annotations

import json
from reprlib import repr as cut
from typing import TYPE_CHECKING, Any

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_DEFAULTS: dict[str, dict[str, Any]] = {
    "gemma2": {"sliding_window_pattern": 2, "head_dim": 256},
    "gemma3_text": {
        "sliding_window_pattern": 6,
        "head_dim": 256,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "max_position_embeddings": 131_072,
    },
    "cohere2": {"sliding_window_pattern": 4},
    "llama4_text": {"no_rope_layer_interval": 4, "attention_chunk_size": 8192},
    "qwen3_next": {"full_attention_interval": 4},
    "jamba": {"mamba_expand": 2},
    "nemotron_h": {"mamba_ssm_cache_dtype": "float32"},
    "lfm2": {"conv_L_cache": 3},
}
"""What published files of a model type leave out, as transformers and vLLM take it."""

_ALIKE = (
    *("llama", "mistral", "mixtral", "ministral3", "olmo2", "olmo3", "phi3", "seed_oss", "gpt_oss"),
    *("qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "qwen3_5_text", "qwen3_5_moe_text"),
    *("qwen2_5_vl_text", "qwen3_vl_text", "qwen3_vl_moe_text", "glm4", "glm4_moe", "minimax_m2"),
    *("deepseek_v2", "deepseek_v3", "deepseek_v32", "glm_moe_dsa", "kimi_k2", "kimi_linear"),
    *("gemma3n_text", "gemma4_text", "minimax_m3_text"),
    *("granite", "granitemoehybrid", "falcon_h1", "olmo_hybrid"),
)
"""Model types whose files say all that matters here."""

KNOWN = tuple(sorted({*_DEFAULTS, *_ALIKE}))
"""The model types that can be read."""


_TOO_MANY = 2**40


class ModelConfig:
    """The fields of a ``config.json`` that describe a model's text layers; null is no value.

    Args:
        fields: as the file has them.
        name: of the file, for messages.
    """

    def __init__(self, fields: dict[str, Any], name: str) -> None:
        self.name = name
        self._fields = {key: value for key, value in fields.items() if value is not None}

    @property
    def model_type(self) -> str:
        """The name of the model's type, as transformers has it."""
        return str(self.get("model_type"))

    @property
    def names(self) -> list[str]:
        """The names of all fields that have a value."""
        return list(self._fields)

    def __contains__(self, key: str) -> bool:
        """Whether the file has a value for ``key``."""
        return key in self._fields

    def count(self, *keys: str) -> int:
        """The whole number above 0 under the first of ``keys`` that there is.

        Raises:
            ConfigError: there is none, or it is something else.
        """
        value = self.get(*keys)
        if type(value) is not int or not 0 < value < _TOO_MANY:
            said = "nothing" if value is None else cut(value)
            raise ConfigError(
                f"{self.name} has {said} as {' or '.join(keys)}; a whole number above 0 is needed"
            )
        return value

    def count_or_none(self, key: str) -> int:
        """As ``count``, and 0 where the file has nothing or 0."""
        return self.count(key) if self.get(key) else 0

    def get(self, *keys: str) -> Any:  # noqa: ANN401 - JSON has any type
        """The value under the first of ``keys`` that there is, or None."""
        return next((self._fields[key] for key in keys if key in self._fields), None)

    def part(self, key: str) -> ModelConfig:
        """The object under ``key``.

        Raises:
            ConfigError: it is something else.
        """
        value = self.get(key)
        if not isinstance(value, dict):
            raise ConfigError(f"{self.name} has {cut(value)} as {key}; an object is needed")
        return ModelConfig(value, f"{self.name}, {key},")

    def series(self, key: str, kind: type) -> list[Any] | None:
        """The list of values of one ``kind`` under ``key``; None: there is none.

        Raises:
            ConfigError: it is something else.
        """
        value = self.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or {type(each) for each in value} != {kind}:
            raise ConfigError(
                f"{self.name} has {cut(value)} as {key}; a list of {kind.__name__} is needed"
            )
        return value


def read_config(path: Path) -> ModelConfig:
    """Read a ``config.json``, or the one in a folder.

    Raises:
        ConfigError: it can't be read, is no JSON object, or is of a model type that isn't known.
    """
    file = path / "config.json" if path.is_dir() else path
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--model {file}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"--model {file}: this is not JSON; name a model's config.json") from None
    if not isinstance(fields, dict):
        raise ConfigError(f"--model {file}: {cut(fields)} is no object; name a model's config.json")
    return _of_text(fields, str(file))


def _of_text(fields: dict[str, Any], name: str) -> ModelConfig:
    """The fields of the text layers, completed by what published files leave out."""
    text = fields.get("text_config")
    own = _given(fields) | (_given(text) if isinstance(text, dict) else {})
    model_type = own.get("model_type")
    if model_type not in KNOWN:
        raise ConfigError(
            f"--model {name}: simulate doesn't know the model_type {cut(model_type)}; known are "
            f"{', '.join(KNOWN)}; give --token-bytes if all its layers read everything"
        )
    return ModelConfig(_DEFAULTS.get(model_type, {}) | own, name)


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}
