"""The store's entries by a side door: to count them, and to damage them."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import redis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvtransfer.stores.embedded.server import EmbeddedServer

_DEADLINE_S = 60


class Entries:
    """What is in the database at ``url``."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)

    def keys(self) -> list[bytes]:
        """The base keys of whole entries."""
        found = set(self._client.keys())
        return sorted(key for key in found if key + b"_bytes" in found)

    def ending(self) -> list[bytes]:
        """The base keys of whole entries whose halves both have a time to live."""
        halves = ((key, key + b"_bytes") for key in self.keys())
        return [names[0] for names in halves if all(self._client.pttl(name) > 0 for name in names)]

    def await_count(self, count: int) -> None:
        """Wait until there are ``count`` whole entries, as puts come late."""
        deadline_s = time.monotonic() + _DEADLINE_S
        while len(self.keys()) < count:
            assert time.monotonic() < deadline_s, f"only {len(self.keys())} of {count} entries"
            time.sleep(0.01)

    def are_announced(self) -> bool:
        """Whether a process has announced which tokens it has saved."""
        return bool(self._client.keys("kvtransfer:feed:*"))

    def await_announcement(self) -> None:
        """Wait until a process has announced which tokens it saves."""
        deadline_s = time.monotonic() + _DEADLINE_S
        while not self.are_announced():
            assert time.monotonic() < deadline_s, "nothing is announced"
            time.sleep(0.01)

    def await_calls(self, command: str, count: int) -> None:
        """Wait until the server has run ``command`` so often, and has sent its replies."""
        deadline_s = time.monotonic() + _DEADLINE_S
        while self.calls(command) < count:
            assert time.monotonic() < deadline_s, f"only {self.calls(command)} {command}"
            time.sleep(0.001)
        self._client.ping()  # by this round of its event loop the last one's replies are out

    def refused(self) -> set[str]:
        """Commands that a user of the server had no right to."""
        return {str(each["object"]) for each in self._client.acl_log()}

    def calls(self, command: str) -> int:
        """How often the server has run ``command``."""
        return int(self._client.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))

    def clear(self) -> None:
        """Remove everything."""
        self._client.flushdb()

    def flip_a_bit_of_each_payload(self) -> None:
        for key in self.keys():
            found = self._client.get(key + b"_bytes")
            if found is None:  # a reader may have removed what was damaged before
                continue
            payload = bytearray(found)
            payload[len(payload) // 3] ^= 0x04
            self._client.set(key + b"_bytes", bytes(payload))

    def remove_every_second_payload(self) -> None:
        self._client.delete(*(key + b"_bytes" for key in self.keys()[::2]))

    def remove_one_record(self) -> None:
        self._client.delete(self.keys()[0])

    def remove_records(self) -> None:
        self._client.delete(*self.keys())

    def swap_payloads(self) -> None:
        keys = self.keys()
        payloads = [self._client.get(key + b"_bytes") for key in keys]
        for key, payload in zip(keys, [*payloads[1:], payloads[0]], strict=True):
            self._client.set(key + b"_bytes", payload)

    def payloads(self) -> list[bytes]:
        """Of all whole entries."""
        return [self._client.get(key + b"_bytes") for key in self.keys()]

    def copy_one_over_the_others(self) -> None:
        """Both halves of an entry, as COPY does; an exchange of all would hardly change attention."""
        first, *others = self.keys()
        for half in (b"", b"_bytes"):
            for other in others:
                assert self._client.copy(first + half, other + half, replace=True)

    def close(self) -> None:
        self._client.close()


@contextmanager
def stopped(server: EmbeddedServer) -> Iterator[None]:
    """The server accepts connections and answers nothing."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)
