"""Names the entries of pages in a store.

SGLang names a page by a SHA-256 over its tokens and all before them, begun with the adapter and the
salt of the request. The key adds what else shapes the bytes: weights, SGLang's version, ranks and the
layout of the pool. vLLM's chunks are laid out otherwise, so the two engines share nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import KEY_HEX_DIGITS, base_key, piece_key

if TYPE_CHECKING:
    from kvtransfer.connector.sglang.ranks import Part


@dataclass(frozen=True)
class PageKeys:
    """Makes the base keys of one pool's pages, an entry a part of a page."""

    model_name: str
    namespace: bytes
    """What :func:`kvtransfer.chunks.keys.namespace` made of all facts."""
    part: Part
    """What this process holds of each page."""
    forms: range
    """The numbers of the formats of the parts; they stand in the keys as a cache group's does."""

    def of(self, page_hash: str) -> list[str]:
        """Return the base keys of the parts of the page that SGLang calls ``page_hash``."""
        begun = hashlib.sha256(self.namespace)
        begun.update(page_hash.encode())
        key = begun.hexdigest()[:KEY_HEX_DIGITS]
        return [
            base_key(self.model_name, self.part.count, self.part.number, piece_key(key, number))
            for number in self.forms
        ]
