"""What a hostile or broken server may send: drawn from a seed, right and wrong in every way."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random

Reply = Any
LENGTHS = (b"-1", b"-2", b"0", b"1", b"99999999999999999999", b"1000000", b"x", b"", b"1" * 5000)
PIECES = (
    b">0\r\n",
    b"!-1\r\n",
    b"|1\r\n+a\r\n+b\r\n",
    b">2\r\n+invalidate\r\n*0\r\n",
    b"*1\r\n" * 3000,
    b"%1\r\n" * 3000,
    b">1\r\n+x\r\n" * 2000,
    b"-MOVED 1\r\n",
    b"-MOVED x y\r\n",
    b"-MOVED 1 :99999\r\n",
    b"-MOVED 99999 \xff..:70000\r\n",
    b"-ASK 1 h:-1\r\n",
    b"-LOADING\r\n",
    b"-WRONGTYPE\r\n",
    b"-\r\n",
    b"\r\n",
    b"\n\n\n",
    b"\0" * 40,
    b"+" + b"x" * 70_000,
    b"~2\r\n%0\r\n%0\r\n",
    b"%1\r\n*0\r\n+x\r\n",
    b",inf\r\n",
    b",x\r\n",
    b"#t\r\n",
    b"=3\r\ntxt\r\n",
    b"(12345678901234567890\r\n",
    b":" + b"9" * 5000 + b"\r\n",
    b"-ERR \x1b[31m\x9b forged\x00\r\n",
)


def stream(chance: random.Random) -> bytes:
    """Several replies in a row, some of them damaged."""
    parts = [_part(chance) for _ in range(chance.randrange(1, 6))]
    return _damaged(chance, b"".join(parts))


def encoded(value: Reply) -> bytes:
    """``value`` as a server sends it; dicts as RESP3 has them."""
    if value is None:
        return b"_\r\n"
    if isinstance(value, bool):
        return b"#t\r\n" if value else b"#f\r\n"
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, bytes):
        return b"$%d\r\n%b\r\n" % (len(value), value)
    if isinstance(value, dict):
        return b"%%%d\r\n" % len(value) + b"".join(
            encoded(each) for pair in value.items() for each in pair
        )
    return b"*%d\r\n" % len(value) + b"".join(map(encoded, value))


def drawn(chance: random.Random, depth: int = 0) -> Reply:
    """Any value."""
    kind = chance.randrange(8 if depth < 4 else 5)
    if kind == 0:
        return None
    if kind in (1, 2):
        return chance.choice((0, 1, 2, -1, 16383, 16384, 1 << 31, 1 << 70, chance.randrange(999)))
    if kind in (3, 4):
        return chance.randbytes(chance.choice((0, 1, 10, 10, 300)))
    values = [drawn(chance, depth + 1) for _ in range(chance.randrange(5))]
    if kind == 5:
        return {repr(value).encode(): value for value in values}
    return values


def warped(chance: random.Random, value: Reply) -> Reply:
    """``value`` with a part of it replaced, dropped or doubled."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        name = chance.choice(list(value))
        return {**value, name: warped(chance, value[name])}
    if not isinstance(value, list) or not value or chance.random() < 0.1:
        return drawn(chance)
    at = chance.randrange(len(value))
    middle = chance.choice(([], [value[at]] * 2, [warped(chance, value[at])]))
    return [*value[:at], *middle, *value[at + 1 :]]


def slots(chance: random.Random, port: int) -> Reply:
    """A right answer to CLUSTER SLOTS, of a cluster at ``port``."""
    cuts = sorted({0, 16384, *(chance.randrange(16384) for _ in range(chance.randrange(4)))})
    node = [chance.choice((b"127.0.0.1", b"", None, b"localhost")), port, b"id", []]
    replicas = [[b"127.0.0.1", port, b"id2"]] * chance.randrange(3)
    return [[first, end - 1, node, *replicas] for first, end in itertools.pairwise(cuts)]


def masters(chance: random.Random, port: int) -> Reply:
    """A right answer to SENTINEL MASTERS, of a master at ``port``."""
    state = {
        b"name": b"mymaster",
        b"ip": b"127.0.0.1",
        b"port": b"%d" % port,
        b"flags": b"master",
        b"num-other-sentinels": b"2",
        b"quorum": b"2",
    }
    flat = [part for pair in state.items() for part in pair]
    return [state if chance.random() < 0.5 else flat]


def _part(chance: random.Random) -> bytes:
    if chance.random() < 0.4:
        return chance.choice(PIECES)
    return encoded(drawn(chance))


def _damaged(chance: random.Random, text: bytes) -> bytes:
    for _ in range(chance.choice((0, 0, 1, 1, 3))):
        at = chance.randrange(len(text) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            text = text[:at]
        elif kind == 1:
            text = text[:at] + chance.randbytes(1) + text[at + 1 :]
        elif kind == 2:
            text = text[:at] + chance.choice(PIECES) + text[at:]
        else:  # another length
            text = text.replace(b"$1", b"$" + chance.choice(LENGTHS), 1)
    return text
