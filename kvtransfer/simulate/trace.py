"""Reads recorded requests: Mooncake's traces, and lists of token counts and chunk hashes."""

from __future__ import annotations

import csv
import json
from reprlib import repr as cut
from typing import TYPE_CHECKING

from kvtransfer.simulate.request import LineError, Request, request_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path


class TraceError(ValueError):
    """The file is not a trace; the message is one sentence that names file and line."""


def read_trace(path: Path, chunk_tokens: int | None = None) -> list[Request]:
    """The requests in the file ``path``, in their order; its suffix tells the format.

    - ``.jsonl``: objects with ``hash_ids`` and ``input_length`` (Mooncake), or ``hashes`` and
      ``tokens``;
    - ``.csv``: columns ``tokens`` and ``hashes``, which are separated by spaces.

    Both may say ``timestamp``, in milliseconds, and ``chunk_tokens``.

    Args:
        path: the file.
        chunk_tokens: tokens for each hash; if given, or named in the file, a request with more
            hashes than its tokens fill is an error.

    Raises:
        TraceError: the file can't be read, or a line is not a request.
    """
    reader = {".jsonl": _objects, ".csv": _table}.get(path.suffix)
    if reader is None:
        raise TraceError(f"{path}: a trace is a .jsonl or a .csv file")
    try:
        # utf-8-sig skips a byte order mark.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            requests = [request_of(*row, chunk_tokens) for row in reader(_texts(file))]
    except OSError as error:
        raise TraceError(f"{path}: {error.strerror}") from None
    except LineError as error:
        raise TraceError(f"{path}:{error.line}: {error.text}") from None
    if not any(request.keys for request in requests):
        raise TraceError(f"{path}: it has no request with a hash")
    if len(said := {request.chunk_tokens for request in requests}) > 1:
        raise TraceError(
            f"{path}: its chunks have {' and '.join(map(str, said))} tokens; split it into a file for "
            "each size"
        )
    return requests


def _texts(lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        try:
            line.encode()
        except UnicodeEncodeError:
            raise LineError(number, "this line is not UTF-8") from None
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
        raise LineError(number, f"this line is not JSON{where}") from None
    if not isinstance(row, dict):
        raise LineError(
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
            raise LineError(number, text)
        if columns and cells:
            yield number, dict(zip(columns, cells, strict=False))
        columns = columns or cells


def _cells(number: int, line: str) -> list[str]:
    try:
        return next(csv.reader([line.strip()], strict=True), [])
    except csv.Error as error:
        raise LineError(number, f"this line can't be read: {error}") from None
