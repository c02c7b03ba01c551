"""Makes the keys of content chunks, in which KV lies that may be reused at another position.

A content chunk is smaller than a chunk of a prefix, and its key is made in the same way from
another beginning: ``h_0 = SHA-256(label || space || chunk_tokens || position)``. KV depends on all
tokens before it, so a key does: the same tokens behind others have another key. No content key is
the key of a chunk: a namespace is JSON, and begins with a brace, where ours begins with the label.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import KeyChain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.passages.space import Space

CONTENT_VERSION = 1
"""We raise this whenever the meaning of a content key or of a content chunk's bytes changes."""

_LABEL = b"kvtransfer content chunk %d " % CONTENT_VERSION


def content_chain(space: Space, chunk_tokens: int, *, position: int = 0) -> KeyChain:
    """The content keys of a sequence that grows.

    Args:
        space: whose it is; the keys end with its tenant, as those of chunks do.
        chunk_tokens: tokens in a content chunk.
        position: the position of the first token, with nothing before it.
    """
    begin = _LABEL + space.digest + struct.pack("<II", chunk_tokens, position)
    return KeyChain(chunk_tokens, namespace=begin, tenant=space.tenant)


def content_keys(
    space: Space, token_ids: Sequence[int], chunk_tokens: int, *, position: int = 0
) -> list[str]:
    """Make one key for each whole content chunk of ``token_ids``; a partial tail has none.

    Arguments are those of :func:`content_chain`.

    Raises:
        ValueError: an id is negative or needs more than 31 bits.
    """
    return content_chain(space, chunk_tokens, position=position).extend(token_ids)
