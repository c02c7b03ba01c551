"""Writes what was saved of a request as bytes, from which other processes learn its passages.

A record holds token ids, and no content keys: those follow from the tokens, the space, the size of
a content chunk and the position. The last key, which depends on all of these, ends the record. So
it is the checksum too, and a record can't claim that tokens have another chunk's key.

Token ids are what users wrote. A store that seals payloads must seal records as well.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from kvtransfer.chunks.keys import KEY_HEX_DIGITS
from kvtransfer.passages.source import Source
from kvtransfer.passages.space import SPACE_BYTES

if TYPE_CHECKING:
    from kvtransfer.passages.space import Space

VERSION = 1
_MAGIC = b"KVTP"
_HEADER = struct.Struct(f"<4sHHIII{SPACE_BYTES}s")
"""Magic, version, zero, tokens of a content chunk, position, tokens, digest of the space."""
_KEY_BYTES = KEY_HEX_DIGITS // 2
_FEWEST_CHUNK_TOKENS = 16
"""A record with smaller chunks is refused, since a key is computed for each."""
_POSITIONS = 2**31


def to_record(source: Source) -> bytes:
    """Write ``source``, which must be whole: its keys begin with its first token.

    Raises:
        ValueError: its keys don't follow from its tokens, as those of a part don't, or its content
            chunks have fewer than 16 tokens.
    """
    header = _HEADER.pack(
        _MAGIC,
        VERSION,
        0,
        source.chunk_tokens,
        source.position,
        len(source.token_ids),
        source.space.digest,
    )
    ids = source.token_ids.astype("<i4").tobytes()
    record = header + ids + bytes.fromhex(source.content_keys[-1][:KEY_HEX_DIGITS])
    if from_record(record, source.space) is None:
        raise ValueError(
            f"a source at position {source.position} with chunks of {source.chunk_tokens} tokens "
            "can't be recorded; pass one that Source.of made, with chunks of 16 tokens or more"
        )
    return record


def from_record(data: bytes | memoryview, space: Space) -> Source | None:
    """Read a record of ``space``.

    Args:
        data: flat bytes from a store, so they may be anything. They are copied.
        space: whose records are read, with its tenant.

    Returns:
        The source; None unless ``data`` is what :func:`to_record` makes of a source of ``space``.
    """
    if len(data) < _HEADER.size:
        return None
    magic, version, zero, chunk_tokens, position, tokens, digest = _HEADER.unpack_from(data)
    if (magic, version, zero, digest) != (_MAGIC, VERSION, 0, space.digest):
        return None
    if len(data) != _HEADER.size + 4 * tokens + _KEY_BYTES or position + tokens > _POSITIONS:
        return None
    if chunk_tokens < _FEWEST_CHUNK_TOKENS or tokens == 0 or tokens % chunk_tokens != 0:
        return None
    ids = np.frombuffer(data, "<i4", tokens, _HEADER.size)
    if ids.min() < 0:
        return None
    source = Source.of(space, ids.tolist(), chunk_tokens, position=position)
    last_key = bytes(data[-_KEY_BYTES:]).hex()
    return source if source and source.content_keys[-1][:KEY_HEX_DIGITS] == last_key else None
