"""Tracks how many chunks of each request are computed, and how many of those are dealt with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kvtransfer.requests.request_state import RequestState


@dataclass(eq=False)
class Progress:
    """The chunks of one request; its saves alone write this."""

    state: RequestState
    whole_chunks: int = 0
    """Chunks from the first on that are computed, and may be saved."""
    saved_chunks: int = 0
    """How many of the whole chunks have been dealt with."""
    lost_chunks: int = 0
    """How many of these are not saved: no slot was free, or they were given up."""

    @property
    def left(self) -> range:
        """The chunks that are computed and not dealt with."""
        return range(self.saved_chunks, self.whole_chunks)

    def give_up(self) -> None:
        """Save no more of the chunks computed so far."""
        self.lost_chunks += len(self.left)
        self.saved_chunks = self.whole_chunks


class SaveProgress:
    """The progress of all requests; for the scheduler's thread.

    Args:
        chunk_tokens: tokens of a chunk.
        saves_decode: whether generated tokens are saved too, not only prompts.
    """

    def __init__(self, chunk_tokens: int, *, saves_decode: bool) -> None:
        self._chunk_tokens = chunk_tokens
        self._saves_decode = saves_decode
        self._due_tokens: dict[str, float] = {}
        """How many computed tokens each request needs to have more to save."""
        self._progress: dict[str, Progress] = {}

    def begin_anew(self, request_id: str) -> None:
        """The request has got other blocks; look at it when it is next scheduled."""
        self._due_tokens[request_id] = 0

    def due(
        self, request_ids: Sequence[str], computed_tokens: Iterable[int]
    ) -> list[tuple[str, int]]:
        """The requests, with their tokens, that have more to save than ``note`` was told of."""
        due_tokens = map(self._due_tokens.__getitem__, request_ids)
        return [
            (request_id, tokens)
            for request_id, tokens, due in zip(
                request_ids, computed_tokens, due_tokens, strict=True
            )
            if tokens >= due
        ]

    def note(self, state: RequestState, computed_tokens: int) -> Progress:
        """The request has ``computed_tokens`` with this step, in blocks of its own."""
        # Drafted tokens are computed too, but have no place among the ids until accepted.
        request, chunk_tokens = state.request, self._chunk_tokens
        known = len(request.all_token_ids) if self._saves_decode else request.num_prompt_tokens
        state.computed_tokens = min(computed_tokens, known)
        progress = self._progress.setdefault(state.request_id, Progress(state))
        progress.whole_chunks = state.computed_tokens // chunk_tokens
        is_last = state.chain is None or (not self._saves_decode and computed_tokens >= known)
        due_tokens = math.inf if is_last else (progress.whole_chunks + 1) * chunk_tokens
        self._due_tokens[state.request_id] = due_tokens
        return progress

    def restart(self, request_id: str) -> None:
        """The request has new keys: nothing of it has been saved."""
        if (progress := self._progress.get(request_id)) is not None:
            progress.whole_chunks = progress.saved_chunks = progress.lost_chunks = 0

    def kept_chunks(self, request_id: str) -> int:
        """How many whole chunks of the request are saved, or will be."""
        progress = self._progress.get(request_id)
        return 0 if progress is None else progress.whole_chunks - progress.lost_chunks

    def give_up(self, request_id: str) -> None:
        """No chunk of the request is to be saved of those computed so far."""
        if (progress := self._progress.get(request_id)) is not None:
            progress.give_up()

    def forget(self, request_id: str) -> None:
        """The request is over."""
        self._due_tokens.pop(request_id, None)
        self._progress.pop(request_id, None)
