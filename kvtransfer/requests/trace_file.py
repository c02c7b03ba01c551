"""Records requests for ``kvtransfer simulate``: when they ended, their tokens and hashes, no text."""

from __future__ import annotations

import hashlib
import json
import os
import time
from typing import TYPE_CHECKING, Protocol

from kvtransfer.errors import ConfigError
from kvtransfer.write_behind import WriteBehind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_DIGEST_BYTES = 8
_MOST_WAITING = 1024


class Trace(Protocol):
    """Records requests."""

    def note(self, tokens: int, keys: Sequence[str]) -> None:
        """Record a prompt of ``tokens``; ``keys`` may be those of generated chunks, too."""
        ...


class TraceFile:
    """Appends a line for each request, on a thread of its own.

    A hash names a chunk together with all before it. It is keyed with a secret that ends with this
    process, so that a trace can't be compared with prompts, or with another trace. A disk that is
    slow or full costs lines, and never a request.

    Args:
        path: the file, readable by its owner alone if it is new.
        chunk_tokens: tokens of a chunk.
        clock: returns seconds.

    Raises:
        ConfigError: the file can't be written.
    """

    def __init__(
        self, path: Path, chunk_tokens: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError(
                f"trace_file={path}: {error.strerror}; name a file that can be written"
            ) from None
        self._file = os.fdopen(descriptor, "a", encoding="utf-8")
        self._chunk_tokens = chunk_tokens
        self._secret = os.urandom(16)
        self._clock = clock
        self._began_s = clock()
        self._lines: WriteBehind[tuple[float, int, Sequence[str]]] = WriteBehind(
            self._write, lambda _: None, _MOST_WAITING, "kvtransfer-trace"
        )

    def note(self, tokens: int, keys: Sequence[str]) -> None:
        """See :class:`Trace`; returns at once."""
        of_prompt = keys[: tokens // self._chunk_tokens]
        self._lines.offer((self._clock() - self._began_s, tokens, of_prompt))

    def close(self) -> None:
        """Write what still waits, for some seconds at most."""
        self._lines.close(5.0)
        self._file.close()

    def _write(self, item: tuple[float, int, Sequence[str]]) -> None:
        came_s, tokens, keys = item
        line = {
            "timestamp": round(came_s * 1000),
            "tokens": tokens,
            "chunk_tokens": self._chunk_tokens,
            "hashes": [self._digest(key) for key in keys],
        }
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._file.flush()

    def _digest(self, key: str) -> str:
        digest = hashlib.blake2b(key.encode(), digest_size=_DIGEST_BYTES, key=self._secret)
        return digest.hexdigest()
