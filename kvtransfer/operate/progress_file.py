"""Remembers on disk which entries were dealt with, so that a run that was cut short goes on."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_DIGEST_BYTES = 16


class ProgressFile:
    """Keys that were dealt with, as digests of 16 bytes one after another in a file.

    Memory and file grow by that much an entry. The last digest may be cut off where a process was
    killed, and is then dropped.

    Raises:
        ConfigError: the file can't be read or written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("a+b")
            self._file.seek(0)
            read = self._file.read()
            self._file.truncate(len(read) - len(read) % _DIGEST_BYTES)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}; name a file to remember in") from None
        places = range(0, len(read) - len(read) % _DIGEST_BYTES, _DIGEST_BYTES)
        self._done = {read[begin : begin + _DIGEST_BYTES] for begin in places}

    def __len__(self) -> int:
        """Return how many keys were dealt with."""
        return len(self._done)

    def __contains__(self, key: str) -> bool:
        """Whether ``key`` was dealt with."""
        return _digest(key) in self._done

    def add(self, key: str) -> None:
        """Remember that ``key`` was dealt with."""
        self._done.add(_digest(key))
        self._file.write(_digest(key))

    def close(self) -> None:
        """Write what is still in memory."""
        self._file.close()


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=_DIGEST_BYTES).digest()
