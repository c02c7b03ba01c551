"""Hashes long prompts beside the scheduler's thread, which must not wait for it.

A prompt of 128k tokens takes milliseconds, for which every running request would wait.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from kvtransfer.chunks.keys import KeyChain

_PIECE_TOKENS = 2048
# Python's interpreter lock changes hands only every 5 ms unless it is let go of.
_BREAK_S = 0.00002


class Hasher:
    """For the scheduler's thread; a chain is another's only while its future isn't done."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "kvtransfer-hash")
        self._last: Future[list[str]] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a prompt is being hashed."""
        return self._last is not None and not self._last.done()

    def begin(self, chain: KeyChain, token_ids: Sequence[int]) -> Future[list[str]] | None:
        """Extend ``chain`` over ``token_ids``; None: that is done already, as they are few."""
        if len(token_ids) <= _PIECE_TOKENS:
            chain.extend(token_ids)
            return None
        self._last = self._thread.submit(_keys, chain, token_ids)
        return self._last

    def close(self) -> None:
        """End the thread, after the prompt it is at."""
        self._thread.shutdown(cancel_futures=True)


def _keys(chain: KeyChain, token_ids: Sequence[int]) -> list[str]:
    while (keys := chain.advance(token_ids, _PIECE_TOKENS)) is None:
        time.sleep(_BREAK_S)
    return list(keys)
