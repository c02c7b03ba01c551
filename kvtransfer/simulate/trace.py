"""Recorded requests: Mooncake's traces, and lists of token counts and chunk hashes."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Request:
    """One prompt; equal keys are equal prefixes."""

    keys: list[str]
    tokens: int


class TraceError(ValueError):
    """The file holds no trace that we know; one sentence."""


def read_trace(path: Path) -> list[Request]:
    """The requests of ``path`` in their order, by the ending of its name.

    - ``.jsonl``: objects with ``hash_ids`` and ``input_length`` (Mooncake), or ``hashes`` and
      ``tokens``;
    - ``.csv``: columns ``tokens`` and ``hashes``, which are separated by spaces.

    Raises:
        TraceError: it can't be read, or a line is something else.
    """
    if path.suffix not in (".jsonl", ".csv"):
        raise TraceError(f"{path}: a trace is a .jsonl or a .csv file")
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = csv.DictReader(lines) if path.suffix == ".csv" else map(_parsed, lines)
            requests = list(_requests(path, rows))
    except OSError as error:
        raise TraceError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise error if isinstance(error, TraceError) else TraceError(f"{path}: {error}") from None
    if not requests:
        raise TraceError(f"{path}: there is no request in it")
    return requests


def _parsed(line: str) -> Mapping[str, object]:
    row = json.loads(line)
    return row if isinstance(row, dict) else {}


def _requests(path: Path, rows: Iterator[Mapping[str, object]]) -> Iterator[Request]:
    for number, row in enumerate(rows, 1):
        hashes = row.get("hash_ids", row.get("hashes"))
        tokens = row.get("input_length", row.get("tokens"))
        if hashes is None or tokens is None:
            raise TraceError(
                f"{path}: request {number} has neither hash_ids and input_length nor hashes and "
                "tokens"
            )
        keys = hashes.split() if isinstance(hashes, str) else [str(hash_) for hash_ in hashes]  # type: ignore[attr-defined]
        if len(set(keys)) < len(keys):
            raise TraceError(f"{path}: request {number} has a hash twice; hashes are of prefixes")
        yield Request(keys, int(tokens))  # type: ignore[call-overload]
