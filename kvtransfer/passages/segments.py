"""Checks the segments that a request names: where the passages of its prompt begin and end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def checked_segments(
    segments: Sequence[Sequence[int]], prompt_tokens: int
) -> list[tuple[int, int]]:
    """Return ``segments`` in the order of the prompt.

    Args:
        segments: ``[[first, end], ...]``; token ``end`` doesn't belong to the segment any more.
        prompt_tokens: tokens of the prompt.

    Raises:
        ValueError: one of them is malformed, outside the prompt, or overlaps another one.
    """
    if not isinstance(segments, list | tuple):
        raise ValueError(f"segments={segments!r}: pass a list of [first, end] in tokens")
    borders = sorted(_checked(number, segments[number]) for number in range(len(segments)))
    before = 0
    for first, end in borders:
        if first < before or end > prompt_tokens:
            raise ValueError(
                f"segment [{first}, {end}]: segments must not overlap, and end within the "
                f"prompt's {prompt_tokens} tokens"
            )
        before = end
    return borders


def _checked(number: int, segment: object) -> tuple[int, int]:
    match segment:
        case [bool(), _] | [_, bool()]:
            pass
        case [int(first), int(end)] if 0 <= first < end:
            return first, end
    raise ValueError(
        f"segments[{number}]={segment!r}: pass [first, end] in tokens, with 0 <= first < end"
    )
