"""Defines the bytes of a chunk, the same on every engine, device and attention backend."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Protocol

from kvtransfer.chunks.keys import group_of
from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.chunks.quantisation import Quantisation

_ELEMENT_BYTES = {
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
    "float8_e4m3fnuz": 1,
    "float8_e5m2fnuz": 1,
    "uint8": 1,
    "int8": 1,
}

# Sections begin where a kernel may use its widest accesses.
_SECTION_BYTES = 16


@dataclass(frozen=True)
class ChunkFormat:
    """Describes the bytes of what one cache group keeps of a chunk, on one rank.

    A payload is raw little-endian elements, outermost dimension first, without padding or header.
    The tokens of one layer's keys (or values, or content) are a *plane*, ``[tokens, heads, dim]``.
    """

    layout: str
    """The order of dimensions: ``split`` is ``[layers, 2, tokens, heads, dim]``, keys before values;
    ``content`` is ``[layers, tokens, heads, dim]``, where ``dim`` elements are all that a token and
    head have, such as the latent of MLA."""
    dtype: str
    """The dtype of an element as torch spells it, without ``torch.``, such as ``float16``."""
    shape: tuple[int, ...]
    """The dimensions that ``layout`` names, in elements."""
    tokens: int
    """Tokens in a chunk."""
    nbytes: int
    """Bytes of a payload."""
    sections: tuple[ChunkFormat, ...] = ()
    """The parts of a payload, one behind the other, where layers have different kinds of pages; its
    layout is ``sections`` then, and its shape the number of its bytes."""
    shards: int = 1
    """How many equal parts, one behind the other, a store keeps as entries of their own."""
    quantised: Quantisation | None = None
    """How the numbers are quantised; then the payload is as ``kernels/quantised_layout.py`` says."""

    @classmethod
    def split(cls, dtype: str, layers: int, tokens: int, heads: int, dim: int) -> ChunkFormat:
        """Return the format of a cache that holds keys and values.

        Raises:
            ConfigError: ``dtype`` is not supported; the message lists those that are.
        """
        return cls._of("split", dtype, (layers, 2, tokens, heads, dim), tokens)

    @classmethod
    def content(cls, dtype: str, layers: int, tokens: int, heads: int, dim: int) -> ChunkFormat:
        """Return the format of a cache that holds ``dim`` elements for each token and head.

        They may be the latent of MLA, or keys and values with inline scales.

        Raises:
            ConfigError: ``dtype`` is not supported; the message lists those that are.
        """
        return cls._of("content", dtype, (layers, tokens, heads, dim), tokens)

    @classmethod
    def sectioned(cls, sections: Sequence[ChunkFormat], shards: int = 1) -> ChunkFormat:
        """Return the format of a payload that consists of ``sections``, ``shards`` times.

        Raises:
            ConfigError: a section doesn't end where the next may begin.
        """
        for section in sections:
            if section.nbytes % _SECTION_BYTES:
                raise ConfigError(
                    f"layers with pages of different kinds need {_SECTION_BYTES} bytes or a "
                    f"multiple in each part of a chunk, not {section.nbytes}; use a larger "
                    "chunk_size"
                )
        every = tuple(sections) * shards
        nbytes = sum(section.nbytes for section in every)
        return cls("sections", "uint8", (nbytes,), every[0].tokens, nbytes, every, shards)

    @classmethod
    def _of(cls, layout: str, dtype: str, shape: tuple[int, ...], tokens: int) -> ChunkFormat:
        if dtype not in _ELEMENT_BYTES:
            raise ConfigError(
                f"a cache of {dtype} is not supported, only of {', '.join(_ELEMENT_BYTES)}"
            )
        return cls(layout, dtype, shape, tokens, prod(shape) * _ELEMENT_BYTES[dtype])

    @property
    def codec(self) -> str:
        """The name of the encoding that a section's numbers have, ``naive`` where none has any."""
        found = [each.quantised.codec for each in self.sections or (self,) if each.quantised]
        return found[0] if found else "naive"

    @property
    def plain(self) -> ChunkFormat:
        """The format of the same chunk, which is no piece of several sections, with its own numbers."""
        nbytes = prod(self.shape) * _ELEMENT_BYTES[self.dtype]
        return replace(self, quantised=None, nbytes=nbytes)

    @property
    def planes(self) -> int:
        """How many planes a chunk has: two a layer in ``split``, otherwise one."""
        return prod(self.shape[:-3])

    @property
    def plane_shape(self) -> tuple[int, int, int]:
        """The shape of one plane of a chunk, ``(tokens, heads, dim)``."""
        tokens, heads, dim = self.shape[-3:]
        return tokens, heads, dim

    @property
    def entries(self) -> ChunkFormat:
        """The format of one shard; see ``Formats``."""
        if self.shards == 1:
            return self
        sections = self.sections[: len(self.sections) // self.shards]
        return sections[0] if len(sections) == 1 else ChunkFormat.sectioned(sections)

    @property
    def formats(self) -> tuple[ChunkFormat, ...]:
        """The formats of all cache groups, which is this one; see ``Formats``."""
        return (self,)

    def of(self, key: str) -> ChunkFormat:
        """The format of the piece ``key``; see ``Formats``."""
        return self

    def counted_tokens(self, key: str) -> int:
        """How many tokens the piece ``key`` counts for; see ``Formats``."""
        return self.tokens

    @property
    def slot_bytes(self) -> int:
        """Bytes of the largest piece; see ``Formats``."""
        return self.nbytes

    @property
    def chunk_tokens(self) -> int:
        """Tokens of a chunk; see ``Formats``."""
        return self.tokens

    def slots_in(self, gib: float) -> int:
        """Count the slots that fit into ``gib`` GiB; see ``Formats``."""
        return _slots_in(gib, self.slot_bytes)


class Formats(Protocol):
    """The formats of the pieces of a model: a ``ChunkFormat`` where it has one cache group."""

    @property
    def entries(self) -> Formats:
        """The formats of what a store keeps of the pieces, an entry a shard."""

    @property
    def formats(self) -> tuple[ChunkFormat, ...]:
        """The format of each group's pieces."""

    def of(self, key: str) -> ChunkFormat:
        """The format of the piece ``key``, which names its group, in a process or in a store."""

    def counted_tokens(self, key: str) -> int:
        """How many tokens the piece ``key`` counts for; those of a chunk count once."""

    @property
    def slot_bytes(self) -> int:
        """Bytes of the largest piece, for which every slot has room."""

    def slots_in(self, gib: float) -> int:
        """Count the slots that fit into ``gib`` GiB."""

    @property
    def chunk_tokens(self) -> int:
        """Tokens of a chunk, of which a piece may hold fewer."""


@dataclass(frozen=True)
class GroupFormats:
    """The formats of the pieces of several cache groups.

    One size of slot serves all groups, for engines make the pages of all groups equally large.
    """

    formats: tuple[ChunkFormat, ...]
    """See ``Formats``."""
    main: int
    """The group whose pieces stand for their chunks where tokens are counted."""
    chunk_tokens: int
    """Tokens of a chunk, of which a piece may hold fewer."""

    @property
    def entries(self) -> GroupFormats:
        """See ``Formats``."""
        return replace(self, formats=tuple(form.entries for form in self.formats))

    def of(self, key: str) -> ChunkFormat:
        """See ``Formats``."""
        return self.formats[group_of(key)]

    def counted_tokens(self, key: str) -> int:
        """See ``Formats``."""
        return self.chunk_tokens if group_of(key) == self.main else 0

    @property
    def slot_bytes(self) -> int:
        """See ``Formats``."""
        return max(form.nbytes for form in self.formats)

    def slots_in(self, gib: float) -> int:
        """Count the slots that fit into ``gib`` GiB; see ``Formats``."""
        return _slots_in(gib, self.slot_bytes)


def _slots_in(gib: float, slot_bytes: int) -> int:
    return int(gib * 2**30) // slot_bytes
