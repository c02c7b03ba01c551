"""Describes what a model's layers keep of each token, in the forms that chunks have. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.chunks.reach import Everything, LocalChunks, State, Window
from kvtransfer.errors import ConfigError
from kvtransfer.simulate.break_even.layer_kinds import FULL, LOCAL, STATE, WINDOW, layer_counts
from kvtransfer.simulate.break_even.states import state_bytes

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from kvtransfer.chunks.reach import Reach
    from kvtransfer.simulate.break_even.model_config import ModelConfig


@dataclass(frozen=True)
class Kept:
    """What layers that are alike keep, on one rank."""

    what: str
    """In words, such as ``full attention``."""
    reach: Reach
    layers: int
    dtype: str
    heads: int
    dim: int
    """Elements of each head of a token, or the bytes of a state."""
    layout: str = "split"
    """See :class:`kvtransfer.chunks.layout.ChunkFormat`."""
    exact_dims: int = 0
    """How many of the elements no codec quantises."""

    @property
    def is_state(self) -> bool:
        """Whether it is one state, whatever the number of tokens."""
        return isinstance(self.reach, State)

    def form(self, tokens: int) -> ChunkFormat:
        """The form of a piece of ``tokens``."""
        make = ChunkFormat.split if self.layout == "split" else ChunkFormat.content
        return make(self.dtype, self.layers, 1 if self.is_state else tokens, self.heads, self.dim)


def kept_layers(config: ModelConfig, dtype: str, cache_dtype: str, ranks: int) -> tuple[Kept, ...]:
    """What the layers of a model keep on each of ``ranks`` tensor-parallel workers.

    Args:
        config: the model's.
        dtype: the one that the model computes in, and that states have.
        cache_dtype: the one of keys and values.
        ranks: tensor-parallel workers; where there are more of them than heads, several keep the
            same heads.

    Raises:
        ConfigError: the file doesn't say enough, or the ranks can't share the heads.
    """
    counts = layer_counts(config)
    attention = _latents if "kv_lora_rank" in config else _keys_and_values
    found = list(attention(config, counts, cache_dtype, ranks))
    if counts[STATE]:
        size = state_bytes(config, dtype, ranks)
        found.append(Kept("states", State(), counts[STATE], "int8", 1, size, "content"))
    if not any(counts.values()):
        raise ConfigError(f"{config.name} has no layer that keeps a cache")
    return tuple(kept for kept in found if kept.layers)


def _keys_and_values(
    config: ModelConfig, counts: Counter[str], dtype: str, ranks: int
) -> Iterator[Kept]:
    heads, dim = _on_a_rank(_heads(config), ranks), _dim(config)
    if counts[FULL]:
        own = config.count_or_none("num_global_key_value_heads")
        of_full = _on_a_rank(own, ranks) if own else heads
        reach = Everything()
        yield Kept("full attention", reach, counts[FULL], dtype, of_full, _full_dim(config))
    if "sparse_attention_config" in config:
        yield _selectors(config.part("sparse_attention_config"), dtype)
    if counts[WINDOW]:
        tokens = config.count("sliding_window") + (config.model_type == "cohere2")
        what, window = f"windows of {tokens:,} tokens", Window(tokens)
        yield Kept(what, window, counts[WINDOW], dtype, heads, dim)
    if counts[LOCAL]:
        tokens = config.count("attention_chunk_size")
        what, local = f"local chunks of {tokens:,} tokens", LocalChunks(tokens)
        yield Kept(what, local, counts[LOCAL], dtype, heads, dim)


def _latents(config: ModelConfig, counts: Counter[str], dtype: str, ranks: int) -> Iterator[Kept]:
    """Multi-head latent attention: one latent a token, which each of the ranks keeps whole."""
    if counts[WINDOW] or counts[LOCAL]:
        raise ConfigError(
            f"{config.name} has windows of latents, whose bytes simulate doesn't know"
        )
    if "index_head_dim" in config and dtype.startswith("float8"):
        raise ConfigError(
            f"{config.name} has sparse attention, whose 8-bit cache vLLM packs in a way that simulate "
            "doesn't know; leave --kv-cache-dtype out"
        )
    layers, rotated = counts[FULL], config.count("qk_rope_head_dim")
    dim = config.count("kv_lora_rank") + rotated
    yield Kept("latents (MLA)", Everything(), layers, dtype, 1, dim, "content", rotated)
    if "index_head_dim" in config:
        dim = config.count("index_head_dim")
        scales_bytes = 4 * -(-dim // 128)
        yield Kept("indexer keys", Everything(), layers, "uint8", 1, dim + scales_bytes, "content")


def _selectors(sparse: ModelConfig, dtype: str) -> Kept:
    """The keys by which MiniMax M3 chooses blocks, beside its full attention."""
    layers = len(
        [1 for is_sparse in sparse.series("sparse_attention_freq", int) or () if is_sparse]
    )
    dim = sparse.count("sparse_index_dim")
    return Kept("indexer keys", Everything(), layers, dtype, 1, dim, "content")


def _heads(config: ModelConfig) -> int:
    return config.count("num_key_value_heads", "num_attention_heads")


def _dim(config: ModelConfig) -> int:
    if "head_dim" in config:
        return config.count("head_dim")
    size, heads = config.count("hidden_size"), config.count("num_attention_heads")
    if size < heads:
        raise ConfigError(f"{config.name} has {heads} heads in a hidden_size of {size}")
    return size // heads


def _full_dim(config: ModelConfig) -> int:
    """The elements of a head in layers that read everything, which Gemma 4 makes larger."""
    if "per_layer_config" in config:
        wide = config.part("per_layer_config")
        return wide.part(wide.names[0]).count("head_dim") if wide.names else _dim(config)
    return config.count_or_none("global_head_dim") or _dim(config)


def _on_a_rank(heads: int, ranks: int) -> int:
    if heads % ranks and ranks % heads:
        raise ConfigError(
            f"--tensor-parallel-size {ranks} can't share {heads} KV heads; give a divisor or a "
            "multiple of them"
        )
    return max(1, heads // ranks)
