"""Measures how long a server keeps others waiting, by a PING every few ms from another process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from select import select
from typing import TYPE_CHECKING

import redis

from benchmarks.measure import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

_EVERY_S = 0.003


class Pings:
    """Owns the process that pings the server at ``url``; it begins at once."""

    def __init__(self, url: str) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.ping"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._child.stdin is not None
        self._child.stdin.write(url + "\n")  # not an argument: it holds the password
        self._child.stdin.flush()
        self._pings: list[tuple[float, float]] = []

    def close(self) -> None:
        """End it and keep what it found."""
        found, _ = self._child.communicate()
        self._pings = [(began_s, wait_s) for began_s, wait_s in json.loads(found)]

    def p99_s(self, spans: Sequence[tuple[float, float]]) -> float:
        """Of the pings that began within ``spans`` of ``time.monotonic``; after ``close``."""
        waits = sorted(
            wait_s
            for began_s, wait_s in self._pings
            if any(start_s <= began_s < end_s for start_s, end_s in spans)
        )
        return waits[round(0.99 * (len(waits) - 1))] if waits else float("nan")


def main() -> None:
    """Ping the URL on the first line of stdin until that is closed."""
    url = sys.stdin.readline().strip()
    pings = []
    with redis.Redis.from_url(url) as client:
        while not select([sys.stdin], [], [], _EVERY_S)[0]:
            began_s = time.monotonic()
            client.ping()
            pings.append((began_s, time.monotonic() - began_s))
    json.dump(pings, sys.stdout)


if __name__ == "__main__":
    main()
