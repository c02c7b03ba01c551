"""The faults that a store has to live with."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from tests.faults import proxy
from tests.faults.arena import DEADLINE_S
from tests.faults.scenario import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.arena import Arena


def on_the_line(name: str, rule: proxy.Rule) -> Fault:
    return Fault(
        name,
        lambda arena: arena.proxy.follow(rule),
        lambda arena: arena.proxy.follow(proxy.passing),
    )


def by_command(name: str, *commands: str, heal: tuple[str, ...] = ()) -> Fault:
    """What commands to the server bring about and mend."""
    return Fault(name, lambda arena: arena.tell(*commands), lambda arena: arena.tell(*heal))


def without(name: str, *rights: str) -> Fault:
    """Rights that the server no longer grants us."""
    taken = tuple(f"ACL SETUSER default {right}" for right in rights)
    return by_command(name, *taken, heal=("ACL SETUSER default +@all allkeys",))


def damaged(name: str, damage: Callable[[bytes], bytes]) -> Fault:
    return Fault(name, lambda arena: arena.damage(damage))


def _kill_and_restart(arena: Arena) -> None:
    arena.kill()
    arena.restart()


SERVER = (
    Fault("killed", lambda arena: arena.kill(), lambda arena: arena.restart()),
    Fault("restarted", _kill_and_restart),
    Fault(
        "stopped",
        lambda arena: os.kill(arena.server.pid, signal.SIGSTOP),
        lambda arena: os.kill(arena.server.pid, signal.SIGCONT),
    ),
    by_command(
        "full",
        "CONFIG SET maxmemory-policy noeviction maxmemory 1",
        heal=("CONFIG SET maxmemory-policy allkeys-lru maxmemory 256mb",),
    ),
    by_command("read-only replica", "REPLICAOF 127.0.0.1 1", heal=("REPLICAOF NO ONE",)),
    by_command(
        "replica without its master",
        "CONFIG SET replica-serve-stale-data no",
        "REPLICAOF 127.0.0.1 1",
        heal=("REPLICAOF NO ONE", "CONFIG SET replica-serve-stale-data yes"),
    ),
    by_command(
        "too many clients",
        "CONFIG SET maxclients 1",
        "CLIENT KILL TYPE normal",
        heal=("CONFIG SET maxclients 1000",),
    ),
    by_command("connections killed", "CLIENT KILL TYPE normal"),
    # Otherwise the server frees memory beside its answers, and may take no put for a moment.
    by_command("flushed", "FLUSHALL SYNC"),
)

ACCESS = (
    by_command(
        "password rotated",
        "CONFIG SET requirepass another",
        "CLIENT KILL TYPE normal",
        heal=("CONFIG SET requirepass s3cret",),
    ),
    *(
        without(f"no {command}", f"-{command}")
        for command in (
            "hello",
            "hgetall",
            "strlen",
            "getrange",
            "multi",
            "set",
            "hset",
            "exists",
            "unlink",
        )
    ),
    without("no keys", "resetkeys"),
    without("some keys", "resetkeys", "~*[0-7]", "~*[0-7]_bytes"),
)

DATA = (
    Fault("payload evicted", lambda arena: arena.control.unlink(arena.payload_name)),
    Fault("hash evicted", lambda arena: arena.control.unlink(arena.record_name)),
    damaged("truncated", lambda payload: payload[:-1]),
    damaged("emptied", lambda payload: b""),
    damaged("lengthened", lambda payload: payload + b"\0"),
    damaged("lengthened a lot", lambda payload: payload * 5),
    damaged("first bit", lambda payload: bytes([payload[0] ^ 1]) + payload[1:]),
    damaged("last bit", lambda payload: payload[:-1] + bytes([payload[-1] ^ 1])),
    damaged("payload of another key", lambda payload: payload[::-1]),
    Fault("payload no string", lambda arena: arena.retype(arena.payload_name)),
    Fault("hash no hash", lambda arena: arena.retype(arena.record_name)),
    Fault("record altered", lambda arena: arena.control.hset(arena.record_name, "tag", "0" * 16)),
    Fault(
        "record of another time", lambda arena: arena.control.hset(arena.record_name, "created", 1)
    ),
    Fault("both halves of another key", lambda arena: arena.replace_by_another()),
    Fault(
        "record of 17 MiB",
        lambda arena: arena.control.hset(arena.record_name, "dtype", b"x" * (17 << 20)),
    ),
    Fault(
        "record of many fields",
        lambda arena: arena.control.hset(
            arena.record_name, mapping={f"field {i}": i for i in range(20_000)}
        ),
    ),
    Fault("record cut", lambda arena: arena.control.hdel(arena.record_name, "dtype")),
    Fault(
        "record of strange bytes",
        lambda arena: arena.control.hset(arena.record_name, "shape", b"\xff"),
    ),
)

ANSWERS = {
    "loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "busy": b"-BUSY Redis is busy running a script.\r\n",
    "moved": b"-MOVED 1234 127.0.0.1:1\r\n",
    "no error": b"-\r\n",
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a huge value": b"$99999999999999\r\n",
    "no length": b"$1x\r\n",
    "a huge array": b"*1000000000\r\n",
    "a deep array": b"*1\r\n" * 5000,
    "a map of arrays": b"%1\r\n*0\r\n*0\r\n",
    "pairs of numbers": b"*2\r\n:1\r\n:1\r\n" * 300,
    "an odd list": b"*1\r\n+x\r\n" * 300,
    "null": b"$-1\r\n" * 300,
    "numbers": b":1\r\n" * 300,
    "ok": b"+OK\r\n" * 300,
    "an empty line": b"\r\n",
    "an empty push": b">0\r\n",
    "a null error": b"!-1\r\n",
    "moved nowhere": b"-MOVED x\r\n",
    "an attribute": b"|1\r\n+a\r\n+b\r\n+OK\r\n",
    "an endless line": b"+" + b"x" * 200_000,
    "zeroes": b"\0" * 100,
}

JUST_IN_TIME = on_the_line("just in time", proxy.delaying_replies(DEADLINE_S * 0.9))
"""Each answer alone."""

LINE = (
    on_the_line("reset", proxy.resetting),
    on_the_line("closed", proxy.closing),
    on_the_line("stalled", proxy.stalling),
    on_the_line("replies lost", proxy.swallowing),
    Fault(
        "connections forgotten",
        lambda arena: arena.proxy.forget_lines(),
        lambda arena: arena.proxy.follow(proxy.passing),
    ),
    Fault("connections forgotten for good", lambda arena: arena.proxy.forget_lines()),
    on_the_line("one byte at a time", proxy.dribbling(0.0002)),
    on_the_line("one byte at a time, slowly", proxy.dribbling(0.005)),
    on_the_line("delayed", proxy.delaying(DEADLINE_S / 50)),
    on_the_line("delayed for long", proxy.delaying(DEADLINE_S * 0.4)),
    on_the_line("delayed for too long", proxy.delaying(DEADLINE_S * 2)),
    *(
        on_the_line(f"bit {at} flipped", proxy.flipping(at, at % 8))
        for at in (0, 1, 2, 4, 60, 1000)
    ),
    *(on_the_line(f"answers {name}", proxy.answering(reply)) for name, reply in ANSWERS.items()),
)

FAULTS = (*SERVER, *ACCESS, *DATA, *LINE)
