"""Replies and topologies at random: nothing that a server says ends a thread or hangs a call.

``python -m tests.faults.fuzz_replies [--cases N] [--seed N]``. A case follows from the seed and its
number. Ends with 1, and says which case it was, if a promise was broken.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import random
import sys
import time
from contextlib import closing
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING

from redis import RedisError
from redis._parsers.encoders import Encoder
from redis.sentinel import Sentinel

from kvtransfer.metrics import Metrics
from kvtransfer.scheduling.lookup.lookup import Lookup
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.guarded import GuardedStore
from kvtransfer.stores.redis.nodes.topology import checked_masters, read_slots
from kvtransfer.stores.redis.wire.asking import AskingParser
from kvtransfer.stores.redis.wire.parser import ReplyParser
from kvtransfer.stores.tiered import Tier, TieredStore
from kvtransfer.testing import CHUNK, KEY, OTHER_KEY, PAYLOAD
from tests.faults import replies
from tests.faults.lying_server import LyingServer
from tests.stores.redis.wire.values import read_value_into

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HANG_S = 120.0
_OVER_THE_WIRE = 100
"""One case in this number runs a store on a real connection; the others run a parser alone."""
_WAITS = 200_000
"""Times that a parser may ask for more before we say that it would never end."""
_MASTERS = Sentinel([("127.0.0.1", 1)]).sentinels[0].response_callbacks["SENTINEL MASTERS"]
_SETTINGS = StoreSettings(timeout_s=10.0)


class Wrong(AssertionError):
    """A promise was broken."""


class Socket:
    """Sends ``stream`` in pieces; then it is closed, late, or begins anew."""

    def __init__(self, stream: bytes, chance: random.Random) -> None:
        self._at = self._waits = 0
        self._piece_bytes = chance.choice((1, 7, 4096, 1 << 20)) if len(stream) < 5000 else 1 << 20
        self._end = chance.choice(("closed", "late", "again"))
        if self._end == "again":
            stream, self._piece_bytes = (
                (stream or b"x") * (1 + (64 << 10) // len(stream or b"x")),
                1 << 20,
            )
        self.stream = stream

    def settimeout(self, timeout_s: float | None) -> None:
        pass

    def recv(self, most: int) -> bytes:
        self._waits += 1
        if self._waits > _WAITS:
            raise Wrong("it never ends")
        if self._at == len(self.stream):
            if self._end == "closed":
                return b""
            if self._end == "late":
                raise TimeoutError("silent")
            self._at = 0
        piece = self.stream[self._at : self._at + min(most, self._piece_bytes)]
        self._at += len(piece)
        return piece

    def recv_into(self, target: memoryview) -> int:
        piece = self.recv(len(target))
        target[: len(piece)] = piece
        return len(piece)


def check(number: int, seed: int) -> None:
    """Prove one case.

    Raises:
        Wrong: a promise was broken; any other exception breaks one, too.
    """
    chance = random.Random(f"{seed}/{number}")
    if number % _OVER_THE_WIRE == 0:
        wire_case = _WIRE_CASES[number // _OVER_THE_WIRE % len(_WIRE_CASES)]
        wire_case(chance)
    elif number % 4 == 0:
        _check_topology(chance)
    else:
        _check_parser(chance)


def _check_parser(chance: random.Random) -> None:
    sock = Socket(replies.stream(chance), chance)
    parser = chance.choice((ReplyParser, AskingParser))(65536)
    encoder = Encoder("utf-8", "strict", decode_responses=False)
    parser.on_connect(
        SimpleNamespace(_sock=sock, socket_timeout=2.0, deadline_s=None, encoder=encoder)
    )
    target = bytearray(10)
    reads: tuple[Callable[[], object], ...] = (
        parser.read_reply,
        partial(read_value_into, parser, memoryview(target)),
        partial(parser.read_counts, chance.randrange(1, 5)),
    )
    if isinstance(parser, AskingParser):  # redis-py asks for replies alone
        reads = reads[:1]
    try:
        for read in chance.choices(reads, k=4):
            if (
                read() is True
                and isinstance(read, partial)
                and bytes(target) not in sock.stream * 2
            ):
                raise Wrong(f"bytes that nobody sent: {bytes(target)!r}")
    except (RedisError, OSError):
        pass  # the talk is over, and its connection closed


def _check_topology(chance: random.Random) -> None:
    read, right = chance.choice(
        ((read_slots, replies.slots), (checked_masters(_MASTERS), replies.masters))
    )
    answer = right(chance, 6379)
    for _ in range(chance.randrange(4)):
        answer = replies.warped(chance, answer)
    try:
        found = read(answer)
    except RedisError:
        return
    if isinstance(found, list) and sum(last - first + 1 for first, last, *_ in found) > 16384:
        raise Wrong("more slots than there are")


def _lie(chance: random.Random, right: Callable[[random.Random, int], object], port: int) -> bytes:
    """An answer about servers, which is right, warped or garbled."""
    answer = right(chance, port)
    for _ in range(chance.randrange(3)):
        answer = replies.warped(chance, answer)
    return replies.encoded(answer) if chance.random() < 0.8 else replies.stream(chance)


def _check_store(
    chance: random.Random, form: str, answer: Callable[[random.Random, int], bytes] | None = None
) -> None:
    """Each call of a store, and a lookup's thread, on a server that lies."""
    streams = [replies.stream(chance) for _ in range(4)]
    server = LyingServer(lambda _: chance.choice(streams))
    server.greets = chance.random() < 0.8
    if answer is not None:
        lie = answer(chance, server.port)
        server.answer = lambda asked: (
            lie if b"SLOTS" in asked or b"MASTERS" in asked else chance.choice(streams)
        )
    url = form.format(port=server.port)
    with closing(server):
        asked = GuardedStore(open_store(url, CHUNK, _SETTINGS), url)
        tiers = TieredStore([Tier("remote", asked)], CHUNK, Metrics())
        lookup = Lookup(tiers, lambda key: [key], 60)
        with (
            closing(lookup),
            closing(GuardedStore(open_store(url, CHUNK, _SETTINGS), url)) as store,
        ):
            _call_all(store)
            if lookup.wait([KEY]) - {KEY} or not lookup._asker._thread.is_alive():
                raise Wrong("the lookup's thread has ended")


def _call_all(store: GuardedStore) -> None:
    target = memoryview(bytearray(CHUNK.nbytes))
    if not all(type(each) is bool for each in store.contains([KEY, OTHER_KEY])):
        raise Wrong("a lookup answered strangely")
    if store.get_into(KEY, target):
        raise Wrong("a get returned bytes that nobody put")
    store.put(KEY, memoryview(PAYLOAD))
    if store.faults:
        raise Wrong("an error of the server was taken for a fault of ours")


_WIRE_CASES = (
    partial(_check_store, form="redis://127.0.0.1:{port}"),
    partial(
        _check_store,
        form="redis-cluster://127.0.0.1:{port}",
        answer=lambda chance, port: _lie(chance, replies.slots, port),
    ),
    partial(
        _check_store,
        form="redis-sentinel://127.0.0.1:{port}/mymaster",
        answer=lambda chance, port: _lie(chance, replies.masters, port),
    ),
)


def broken(cases: int, seed: int) -> Iterator[tuple[int, BaseException]]:
    """The cases that break a promise, each with what was raised."""
    for number in range(cases):
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        try:
            check(number, seed)
        except Exception as error:  # noqa: BLE001 - any is a broken promise
            yield number, error
    faulthandler.cancel_dump_traceback_later()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.getLogger("kvtransfer").setLevel(logging.ERROR)
    began_s, found = time.monotonic(), 0
    for number, error in broken(options.cases, options.seed):
        found += 1
        print(f"case {number} of seed {options.seed}: {type(error).__name__}: {error}")
    print(f"{options.cases} cases, {found} broken promises, {time.monotonic() - began_s:.0f} s")
    sys.exit(found > 0)


if __name__ == "__main__":
    main()
