"""Makes a request of a line of a trace, or says in one sentence why it isn't one. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from reprlib import repr as cut
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Request:
    """One prompt: the keys of its chunks, where equal keys mean equal prefixes, and its tokens."""

    keys: list[str]
    tokens: int
    at_s: float | None = field(default=None, compare=False)
    """When it came, from any beginning; None: the trace doesn't say."""
    chunk_tokens: int | None = field(default=None, compare=False)
    """Tokens of a chunk; None: the trace doesn't say."""


class LineError(Exception):
    """What is wrong with a line; ``read_trace`` adds the file."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(line, text)
        self.line = line
        self.text = text


def request_of(number: int, row: Mapping[str, object], chunk_tokens: int | None) -> Request:
    """The request in the line ``number`` of a trace.

    Args:
        number: of the line.
        row: its values by name.
        chunk_tokens: tokens for each hash; if given, more hashes than tokens fill are an error.

    Raises:
        LineError: the line is not a request.
    """
    hashes = row.get("hash_ids", row.get("hashes"))
    length = row.get("input_length", row.get("tokens"))
    if hashes is None or length is None:
        text = "this line has neither hash_ids and input_length nor hashes and tokens"
        raise LineError(number, text)
    keys, tokens = _keys(number, hashes), _tokens(number, length)
    if len(set(keys)) < len(keys):
        raise LineError(
            number, "a hash occurs twice in this line; each must name a different prefix"
        )
    own = _chunk_tokens(number, row, chunk_tokens)
    if own is not None and len(keys) > -(-tokens // own):
        text = (
            f"{len(keys)} hashes are more than {tokens} tokens fill in chunks of {own}; say with "
            "--chunk-tokens how many tokens a hash stands for"
        )
        raise LineError(number, text)
    return Request(keys, tokens, _at_s(number, row), own)


def _at_s(number: int, row: Mapping[str, object]) -> float | None:
    at = row.get("timestamp")
    if at is None:
        return None
    try:
        at_ms = float(at) if isinstance(at, str | int | float) else math.nan
    except (ValueError, OverflowError):
        at_ms = math.nan
    if not math.isfinite(at_ms):
        raise LineError(number, f"{cut(at)} is not a timestamp; write milliseconds")
    return at_ms / 1e3


def _chunk_tokens(number: int, row: Mapping[str, object], asked: int | None) -> int | None:
    if row.get("chunk_tokens") is None:
        return asked
    own = _tokens(number, row["chunk_tokens"])
    if asked not in (None, own):
        raise LineError(
            number, f"its chunks have {own} tokens, not {asked}; leave out --chunk-tokens"
        )
    return own


def _keys(number: int, hashes: object) -> list[str]:
    given = hashes.split() if isinstance(hashes, str) else hashes
    if not isinstance(given, list) or not {type(key) for key in given} <= {int, str}:
        text = f"the hashes {cut(hashes)} are not a list of whole numbers or strings"
        raise LineError(number, text)
    return list(map(str, given))


def _tokens(number: int, length: object) -> int:
    try:
        tokens = int(length) if isinstance(length, str) else length
    except ValueError:
        tokens = None
    if type(tokens) is not int or tokens < 1:
        raise LineError(
            number, f"{cut(length)} is not a number of tokens; write a whole number above 0"
        )
    return tokens
