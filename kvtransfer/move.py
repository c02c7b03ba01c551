"""Says which tokens of a chunk go where, when they are reused at another position."""

from __future__ import annotations

from typing import NamedTuple


class Move(NamedTuple):
    """Tokens ``[first_token, end_token)`` of a chunk, and the blocks that they are moved into.

    Their keys are rotated from the position at which they were computed to the new one.
    """

    first_token: int
    end_token: int
    block_ids: tuple[int, ...]
    """The manager's blocks that are written, in token order; not one more."""
    block_token: int
    """The token of the first block at which the tokens begin."""
    source_position: int
    """The position at which the first token's key was computed."""
    target_position: int
    """The position at which it is read from now on."""

    @property
    def tokens(self) -> int:
        """How many tokens are moved."""
        return self.end_token - self.first_token
