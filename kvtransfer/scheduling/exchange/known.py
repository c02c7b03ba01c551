"""Remembers which sequences were announced or learned lately, by a digest of their tokens. Pure."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kvtransfer.passages.space import Space

_DIGEST_BYTES = 16


class Known:
    """The last ``most`` sequences; for one thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._digests: dict[bytes, None] = {}

    def has(self, space: Space, token_ids: NDArray[np.int32]) -> bool:
        """Whether exactly these tokens were noted lately."""
        return _digest(space, token_ids) in self._digests

    def note(self, space: Space, token_ids: NDArray[np.int32]) -> bool:
        """Remember these tokens; return whether they are new."""
        digest = _digest(space, token_ids)
        is_new = digest not in self._digests
        self._digests.pop(digest, None)
        self._digests[digest] = None
        if len(self._digests) > self._most:
            del self._digests[next(iter(self._digests))]
        return is_new


def _digest(space: Space, token_ids: NDArray[np.int32]) -> bytes:
    return hashlib.sha256(space.digest + token_ids.tobytes()).digest()[:_DIGEST_BYTES]
