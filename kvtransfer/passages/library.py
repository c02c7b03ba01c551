"""Keeps what was saved, as token ids, in bounded memory, so that passages of it can be found."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kvtransfer.passages.anchors import Anchors
from kvtransfer.passages.window_hash import window_hashes
from kvtransfer.passages.window_table import WindowTable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kvtransfer.passages.source import Source
    from kvtransfer.passages.space import Space

_MOST_HITS = 8
"""How many sources of one window are compared; passages that all requests share have thousands."""


@dataclass
class _Shelf:
    """The sources of one space."""

    table: WindowTable = field(default_factory=WindowTable)
    sources: dict[int, Source] = field(default_factory=dict)


class Library:
    """Sources by space, and the hashes of some of their windows.

    Windows of ``window_tokens`` tokens begin at each multiple of ``stride_tokens`` of a source. A
    prompt is probed at every token, so a passage of ``window_tokens + stride_tokens - 1`` tokens
    is always found, wherever it stands in either. A token takes 4 bytes of memory, and a window
    16 for its hash and place, and 16 to 32 cells of a filter.

    All calls must come from one thread.

    Args:
        max_tokens: the most tokens that are kept, of all spaces together; the least recently used
            sources are dropped.
        window_tokens: a power of two.
        stride_tokens: tokens from the begin of a window to that of the next.
        seed: as of :func:`window_hashes`.

    Raises:
        ValueError: a size is out of range.
    """

    def __init__(
        self, *, max_tokens: int, window_tokens: int = 32, stride_tokens: int = 32, seed: int = 0
    ) -> None:
        if window_tokens < 1 or window_tokens & (window_tokens - 1):
            raise ValueError(f"window_tokens={window_tokens}: pass a power of two, such as 32")
        if stride_tokens < 1 or max_tokens < 0:
            raise ValueError(
                f"stride_tokens={stride_tokens}, max_tokens={max_tokens}: "
                "pass a stride of at least 1 and a bound of at least 0"
            )
        self.window_tokens = window_tokens
        self._max_tokens = max_tokens
        self.stride_tokens = stride_tokens
        self._seed = seed
        self._shelves: dict[Space, _Shelf] = defaultdict(_Shelf)
        self._numbers: OrderedDict[Source, int] = OrderedDict()  # the least recently used first
        self._holders: dict[str, set[Source]] = defaultdict(set)
        self._ending: dict[str, Source] = {}
        self._tokens = 0
        self._last_number = 0

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, source: Source) -> bool:
        return source in self._numbers

    @property
    def tokens(self) -> int:
        """How many tokens all sources have together."""
        return self._tokens

    def add(self, source: Source) -> None:
        """Add what was saved.

        A source all of whose chunks another one has is not added; it counts as a use of that one.
        Sources that the new one covers, such as earlier turns of a conversation, are forgotten. Of
        a source that is longer than the library, the beginning is kept.
        """
        whole_chunks = self._max_tokens // source.chunk_tokens
        if whole_chunks == 0:
            return
        if whole_chunks < len(source.keys):
            source = source.part(0, whole_chunks)
        for holder in self._holders.get(source.keys[-1], ()):
            if holder.covers(source):
                return self.use(holder)
        ending = [self._ending[key] for key in source.keys if key in self._ending]
        for earlier in filter(source.covers, ending):
            self.forget(earlier)
        while self._tokens + len(source.token_ids) > self._max_tokens:
            self.forget(next(iter(self._numbers)))
        self._put(source)
        return None

    def use(self, source: Source) -> None:
        """Note that ``source`` was used, so that others are dropped first."""
        if source in self._numbers:
            self._numbers.move_to_end(source)

    def forget(self, source: Source) -> None:
        """Drop ``source``; nothing happens where it isn't known, or no longer."""
        number = self._numbers.pop(source, None)
        if number is None:
            return
        self._tokens -= len(source.token_ids)
        self._drop_keys(source)
        shelf = self._shelves[source.space]
        del shelf.sources[number]
        shelf.table.remove(number, self._windows(source))
        if not shelf.sources:
            del self._shelves[source.space]

    def anchors(self, token_ids: NDArray[np.int32], space: Space) -> Anchors:
        """Look for every window of a prompt among the sources of ``space``."""
        shelf = self._shelves.get(space) or _Shelf()  # asking doesn't add a space
        hashes = window_hashes(token_ids, self.window_tokens, self._seed)
        return Anchors(shelf.table.hits(hashes, _MOST_HITS), shelf.sources)

    def _put(self, source: Source) -> None:
        self._last_number += 1
        number = self._last_number
        self._numbers[source] = number
        self._tokens += len(source.token_ids)
        self._ending[source.keys[-1]] = source
        for key in source.keys:
            self._holders[key].add(source)
        shelf = self._shelves[source.space]
        shelf.sources[number] = source
        hashes = window_hashes(source.token_ids, self.window_tokens, self._seed)
        shelf.table.add(number, hashes[:: self.stride_tokens], self.stride_tokens)

    def _windows(self, source: Source) -> int:
        """How many windows of ``source`` are in the table."""
        return max(0, (len(source.token_ids) - self.window_tokens) // self.stride_tokens + 1)

    def _drop_keys(self, source: Source) -> None:
        if self._ending.get(source.keys[-1]) is source:
            del self._ending[source.keys[-1]]
        for key in source.keys:
            holders = self._holders[key]
            holders.discard(source)
            if not holders:
                del self._holders[key]
