"""Reads recorded requests: Mooncake's traces, and lists of token counts and chunk hashes."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from reprlib import repr as cut
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Request:
    """One prompt: the keys of its chunks, where equal keys mean equal prefixes, and its tokens."""

    keys: list[str]
    tokens: int


class TraceError(ValueError):
    """The file is not a trace; the message is one sentence that names file and line."""


class _LineError(Exception):
    """What is wrong with a line; ``read_trace`` adds the file."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(line, text)
        self.line = line
        self.text = text


def read_trace(path: Path, chunk_tokens: int | None = None) -> list[Request]:
    """The requests in the file ``path``, in their order; its suffix tells the format.

    - ``.jsonl``: objects with ``hash_ids`` and ``input_length`` (Mooncake), or ``hashes`` and
      ``tokens``;
    - ``.csv``: columns ``tokens`` and ``hashes``, which are separated by spaces.

    Args:
        path: the file.
        chunk_tokens: tokens for each hash; if given, a request with more hashes than its tokens
            fill is an error.

    Raises:
        TraceError: the file can't be read, or a line is not a request.
    """
    reader = {".jsonl": _objects, ".csv": _table}.get(path.suffix)
    if reader is None:
        raise TraceError(f"{path}: a trace is a .jsonl or a .csv file")
    try:
        # utf-8-sig skips a byte order mark.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            requests = [_request(*row, chunk_tokens) for row in reader(_texts(file))]
    except OSError as error:
        raise TraceError(f"{path}: {error.strerror}") from None
    except _LineError as error:
        raise TraceError(f"{path}:{error.line}: {error.text}") from None
    if not any(request.keys for request in requests):
        raise TraceError(f"{path}: it has no request with a hash")
    return requests


def _texts(lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        try:
            line.encode()
        except UnicodeEncodeError:
            raise _LineError(number, "this line is not UTF-8") from None
        yield line


def _objects(lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, object]]]:
    """The object in each line, with the line number; skips empty lines."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, _object(number, line.strip())


def _object(number: int, line: str) -> Mapping[str, object]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        where = f" in column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise _LineError(number, f"this line is not JSON{where}") from None
    if not isinstance(row, dict):
        raise _LineError(
            number, f"{cut(row)} is not an object; write one object in braces on each line"
        )
    return row


def _table(lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, object]]]:
    """The cells of each line by column name, with the line number; skips empty lines."""
    columns: list[str] = []
    for number, line in enumerate(lines, 1):
        cells = _cells(number, line)
        if columns and len(cells) > len(columns):
            text = "this line has more cells than there are columns; separate hashes by spaces"
            raise _LineError(number, text)
        if columns and cells:
            yield number, dict(zip(columns, cells, strict=False))
        columns = columns or cells


def _cells(number: int, line: str) -> list[str]:
    try:
        return next(csv.reader([line.strip()], strict=True), [])
    except csv.Error as error:
        raise _LineError(number, f"this line can't be read: {error}") from None


def _request(number: int, row: Mapping[str, object], chunk_tokens: int | None) -> Request:
    hashes = row.get("hash_ids", row.get("hashes"))
    length = row.get("input_length", row.get("tokens"))
    if hashes is None or length is None:
        text = "this line has neither hash_ids and input_length nor hashes and tokens"
        raise _LineError(number, text)
    keys, tokens = _keys(number, hashes), _tokens(number, length)
    if len(set(keys)) < len(keys):
        raise _LineError(
            number, "a hash occurs twice in this line; each must name a different prefix"
        )
    most = len(keys) if chunk_tokens is None else -(-tokens // chunk_tokens)
    if len(keys) > most:
        text = f"{len(keys)} hashes are more than {tokens} tokens fill in chunks of {chunk_tokens}"
        raise _LineError(number, text)
    return Request(keys, tokens)


def _keys(number: int, hashes: object) -> list[str]:
    given = hashes.split() if isinstance(hashes, str) else hashes
    if not isinstance(given, list) or not {type(key) for key in given} <= {int, str}:
        text = f"the hashes {cut(hashes)} are not a list of whole numbers or strings"
        raise _LineError(number, text)
    return list(map(str, given))


def _tokens(number: int, length: object) -> int:
    try:
        tokens = int(length) if isinstance(length, str) else length
    except ValueError:
        tokens = None
    if type(tokens) is not int or tokens < 1:
        raise _LineError(
            number, f"{cut(length)} is not a number of tokens; write a whole number above 0"
        )
    return tokens
