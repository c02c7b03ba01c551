"""Counts the bytes that a load of a prefix takes, as the connector cuts and keeps them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from reprlib import repr as cut
from typing import TYPE_CHECKING

from kvtransfer.chunks.encoded_size import encoded_bytes
from kvtransfer.chunks.quantisation import CODECS
from kvtransfer.chunks.tiling import Tiling
from kvtransfer.errors import ConfigError
from kvtransfer.simulate.break_even.kept import Kept, kept_layers

if TYPE_CHECKING:
    from kvtransfer.simulate.break_even.model_config import ModelConfig

BLOCK_TOKENS = 16
"""vLLM's on a GPU."""

_LATENTS_BLOCK_TOKENS = 128
"""Where latents lie beside states, vLLM's blocks are multiples of this."""

_MOST_TOKENS = 2**20
_DTYPES = ("bfloat16", "float16", "float32")


@dataclass(frozen=True)
class Load:
    """The bytes that one rank loads to continue behind a prefix."""

    pieces: tuple[tuple[Tiling, int], ...]
    """The bytes of a piece, and which pieces are needed, of layers that are alike."""

    def nbytes(self, tokens: int) -> int:
        """The bytes behind ``tokens``, a whole number of chunks."""
        return sum(len(tiling.needed(tokens)) * size for tiling, size in self.pieces)

    @property
    def chunk_bytes(self) -> int:
        """The bytes that every further chunk adds: of layers that read everything."""
        return sum(size for tiling, size in self.pieces if tiling.reads_all)


@dataclass(frozen=True)
class Model:
    """What a model keeps of a prompt, in chunks, on each of its tensor-parallel ranks."""

    name: str
    kept: tuple[Kept, ...]
    chunk_tokens: int
    most_tokens: int
    """The longest context."""
    ranks: int = 1
    block_tokens: int = BLOCK_TOKENS
    """A divisor of ``chunk_tokens``; the same where some layers keep a state."""

    def piece_bytes(self, kept: Kept, codec: str) -> int:
        """The bytes of what the layers ``kept`` keep of a chunk on one rank."""
        tokens = self.tiling(kept).piece_blocks * self.block_tokens
        return encoded_bytes(codec, kept.form(tokens), kept.exact_dims)

    def load(self, codec: str) -> Load:
        """What one rank loads of chunks in ``codec``."""
        pieces = [(self.tiling(kept), self.piece_bytes(kept, codec)) for kept in self.kept]
        return Load(tuple(pieces))

    def takes(self, codec: str) -> bool:
        """Whether the connector takes ``codec``: one of fewer bits must fit some of the layers."""
        return codec not in CODECS or self.load(codec) != self.load("naive")

    def tiling(self, kept: Kept) -> Tiling:
        """How the layers ``kept`` lie in chunks."""
        return Tiling(self.chunk_tokens, self.block_tokens, kept.reach)


def model_of(
    config: ModelConfig,
    cache_dtype: str | None = None,
    ranks: int = 1,
    chunk_tokens: int = 256,
    block_tokens: int = BLOCK_TOKENS,
) -> Model:
    """The model of a ``config.json``.

    Args:
        config: the file.
        cache_dtype: of keys and values, as torch spells it; None: the one that the model computes in.
        ranks: tensor-parallel workers.
        chunk_tokens: the setting ``chunk_size``; a model with states has chunks of its own length.
        block_tokens: the block size that vLLM is asked for.

    Raises:
        ConfigError: the file doesn't say enough, or the ranks can't share the heads.
    """
    dtype = config.get("dtype", "torch_dtype") or "bfloat16"
    if dtype not in _DTYPES:
        raise ConfigError(
            f"{config.name} has the dtype {cut(dtype)}; known are {', '.join(_DTYPES)}"
        )
    kept = kept_layers(config, dtype, cache_dtype or dtype, ranks)
    most_tokens = min(config.count("max_position_embeddings"), _MOST_TOKENS)
    own_tokens = _block_of_states(kept, block_tokens)
    if own_tokens:
        return Model(config.name, kept, own_tokens, most_tokens, ranks, own_tokens)
    return Model(config.name, kept, chunk_tokens, most_tokens, ranks, block_tokens)


def _block_of_states(kept: tuple[Kept, ...], block_tokens: int) -> int:
    """The tokens of vLLM's blocks where there are states; 0 where there are none.

    A block of attention has as many bytes in a layer as a state, or a few more.
    """
    states = [each for each in kept if each.is_state]
    others = [each for each in kept if not each.is_state]
    if not states or not others:
        return block_tokens if states else 0
    has_latents = any(each.exact_dims for each in others)
    unit = max(block_tokens, _LATENTS_BLOCK_TOKENS) if has_latents else block_tokens
    token_bytes = max(each.form(1).nbytes // each.layers for each in others)
    return -(-states[0].dim // (token_bytes * unit)) * unit
