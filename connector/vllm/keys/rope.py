"""Tells whether ``max_model_len`` changes what a model computes, and so belongs in its keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vllm.config import ModelConfig

# With these types the angles don't depend on max_model_len. With any other they may.
_PLAIN = {None, "default", "linear", "llama3", "yarn", "mrope"}
_TYPE_NAMES = ("rope_type", "type")
# Llama 4 scales its queries only if it is served with more than 32k tokens.
_FAMILIES_THAT_ASK = ("llama4",)


def depends_on_length(model: ModelConfig) -> bool:
    """Say whether ``max_model_len`` may shape the bytes of a chunk.

    A type of rope may stand anywhere in the configuration: at the top, in the text model's part, in
    a part for each type of layer, in a list of layers, or under an older name.
    """
    configs = [model.hf_config.to_dict(), model.hf_text_config.to_dict()]
    families = [str(config.get("model_type", "")) for config in configs]
    if any(family.startswith(_FAMILIES_THAT_ASK) for family in families):
        return True
    return any(_is_odd(found) for config in configs for found in _types(config, in_rope=False))


def _is_odd(rope_type: object) -> bool:
    return not isinstance(rope_type, str | None) or rope_type not in _PLAIN


def _types(value: object, *, in_rope: bool) -> Iterator[object]:
    """Yield every type of rope that ``value``, a part of a configuration, names."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            if name == "rope_type" or (in_rope and name in _TYPE_NAMES):
                yield part
            else:
                yield from _types(part, in_rope=in_rope or _names_rope(name))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _types(part, in_rope=in_rope)


def _names_rope(name: object) -> bool:
    return isinstance(name, str) and ("rope" in name or "rotary" in name)
