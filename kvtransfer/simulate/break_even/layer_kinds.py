"""Counts a model's layers by how much of the past each keeps. Pure."""

from __future__ import annotations

from collections import Counter
from reprlib import repr as cut
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from kvtransfer.simulate.break_even.model_config import ModelConfig

FULL, WINDOW, LOCAL, STATE = "full", "window", "local", "state"

_NOTHING = ""
_KINDS = {
    "full_attention": FULL,
    "indexed_attention": FULL,
    "attention": FULL,
    "sliding_attention": WINDOW,
    "chunked_attention": LOCAL,
    "linear_attention": STATE,
    "conv": STATE,
    "mamba": STATE,
    "mlp": _NOTHING,
    "moe": _NOTHING,
}
"""What a layer keeps, by the words that files have for it."""

_LETTERS = {"*": FULL, "M": STATE, "-": _NOTHING, "E": _NOTHING}
"""What a layer keeps, by the letters of Nemotron's patterns."""


def layer_counts(config: ModelConfig) -> Counter[str]:
    """How many layers of each kind keep a cache of their own.

    Raises:
        ConfigError: the file doesn't say so, or says it in words that aren't known.
    """
    kinds = _kinds(config)
    own = len(kinds) - config.count_or_none("num_kv_shared_layers")
    counts = Counter(kind for kind in kinds[:own] if kind != _NOTHING)
    if config.model_type == "falcon_h1":  # each of its layers has both
        counts[STATE] = counts[FULL]
    return counts


def _kinds(config: ModelConfig) -> list[str]:
    """The kind of each layer, in their order."""
    named = config.series("layer_types", str) or config.series("layers_block_type", str)
    if named is not None:
        return [_known(word, _KINDS, config) for word in named]
    if "hybrid_override_pattern" in config:
        pattern = str(config.get("hybrid_override_pattern"))
        return [_known(letter, _LETTERS, config) for letter in pattern]
    return _by_rule(config, config.count("num_hidden_layers"))


def _known(word: str, kinds: dict[str, str], config: ModelConfig) -> str:
    if word not in kinds:
        raise ConfigError(
            f"{config.name} has a layer of the kind {cut(word)}, whose cache simulate doesn't know; "
            f"known are {', '.join(kinds)}"
        )
    return kinds[word]


def _by_rule(config: ModelConfig, layers: int) -> list[str]:
    """The kind of each layer where the file has a rule instead of a list."""
    if "linear_attn_config" in config:
        full = config.part("linear_attn_config").series("full_attn_layers", int) or ()
        return [FULL if number in full else STATE for number in range(1, layers + 1)]
    if "attn_layer_period" in config:
        period = config.count("attn_layer_period")
        offset = config.count_or_none("attn_layer_offset")
        return [FULL if number % period == offset else STATE for number in range(layers)]
    for key, other in _PERIODS.items():
        if key in config and (other != WINDOW or "sliding_window" in config):
            return _each(config.count(key), other, layers)
    return _with_windows(config, layers)


_PERIODS = {
    "full_attention_interval": STATE,
    "no_rope_layer_interval": LOCAL,
    "sliding_window_pattern": WINDOW,
}
"""Fields that say that every n-th layer reads everything, and what the others keep."""


def _each(period: int, other: str, layers: int) -> list[str]:
    return [other if number % period else FULL for number in range(1, layers + 1)]


def _with_windows(config: ModelConfig, layers: int) -> list[str]:
    """Layers of which all have a window where the file has one and doesn't turn it off."""
    if not config.get("sliding_window") or config.get("use_sliding_window") is False:
        return [FULL] * layers
    first = config.count_or_none("max_window_layers")
    return [FULL if number < first else WINDOW for number in range(layers)]
