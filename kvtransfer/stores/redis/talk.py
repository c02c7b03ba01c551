"""What is said to Redis: each function is one exchange over a connection, packed by hand."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from redis.exceptions import ResponseError

from kvtransfer.stores.redis.sliced import SlicedRead
from kvtransfer.stores.redis.wire.connection import command

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kvtransfer.stores.redis.wire.connection import Wire


@dataclass(frozen=True)
class Found:
    """The two halves of an entry, as far as they are there."""

    fields: Mapping[str, str] | None
    """Of the record; None: not there, or no hash."""
    payload_bytes: int | None
    """Length of the payload; None: not a string. 0: not there."""
    filled: bool = False
    """The payload was as long as the memory for it, and is in it."""

    @property
    def is_nothing(self) -> bool:
        """Whether there is no trace of the entry."""
        return self.fields == {} and self.payload_bytes == 0


def payload_key(key: str) -> bytes:
    """Where the payload of the base key ``key`` lies."""
    return f"{key}_bytes".encode()


def count_halves(keys: Sequence[str], wire: Wire) -> list[int]:
    """For each key, how many of its two values are there."""
    wire.send([b"".join([_exists(key.encode()) for key in keys])])
    return wire.parser.read_counts(len(keys))


def _exists(key: bytes) -> bytes:
    # ``command`` for both halves, ten times as fast: a long prompt asks for hundreds.
    return b"*3\r\n$6\r\nEXISTS\r\n$%d\r\n%b\r\n$%d\r\n%b_bytes\r\n" % (
        len(key),
        key,
        len(key) + 6,
        key,
    )


def read_entry(key: str, target: memoryview, ttl_s: int | None, wire: Wire) -> Found:
    """The entry of ``key``, with its payload in ``target``; its time to live begins anew."""
    name = payload_key(key)
    renewals = [] if ttl_s is None else _expiries(key, ttl_s)
    read = SlicedRead(name, target, wire)
    read.begin([command(b"HGETALL", key.encode()), command(b"STRLEN", name), *renewals])
    fields, length = _fields(wire), _length(wire)
    for _ in renewals:
        _checked(wire)
    replies = list(read.replies())  # to the last, whatever the first one is
    filled = length == len(target) and all(reply is True for reply in replies)
    return Found(fields, length, filled)


def probe_entry(key: str, ttl_s: int | None, wire: Wire) -> Found:
    """The entry of ``key`` without its payload; its time to live begins anew."""
    renewals = [] if ttl_s is None else _expiries(key, ttl_s)
    head = command(b"HGETALL", key.encode()) + command(b"STRLEN", payload_key(key))
    wire.send([head + b"".join(renewals)])
    found = Found(_fields(wire), _length(wire))
    for _ in renewals:
        _checked(wire)
    return found


def write_entry(
    key: str, payload: memoryview, fields: Mapping[str, str], ttl_s: int | None, wire: Wire
) -> None:
    """Both halves, whatever was there, in one MULTI; ``payload`` is sent from where it lies."""
    name = payload_key(key)
    record = [part.encode() for part in chain.from_iterable(fields.items())]
    expiries = [] if ttl_s is None else _expiries(key, ttl_s)
    begin = command(b"MULTI") + command(b"UNLINK", key.encode())
    put = b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n" % (len(name), name, len(payload))
    commands = [command(b"HSET", key.encode(), *record), *expiries, command(b"EXEC")]
    wire.send([begin + put, payload, b"\r\n" + b"".join(commands)])
    replies = [wire.parser.read_reply() for _ in range(len(commands) + 3)]
    for reply in (*replies, *(replies[-1] if isinstance(replies[-1], list) else [])):
        if isinstance(reply, ResponseError):
            raise reply


def remove_entry(key: str, wire: Wire) -> None:
    """Both halves."""
    wire.send([command(b"UNLINK", key.encode(), payload_key(key))])
    _checked(wire)


def _expiries(key: str, ttl_s: int) -> list[bytes]:
    return [command(b"EXPIRE", name, b"%d" % ttl_s) for name in (key.encode(), payload_key(key))]


def _fields(wire: Wire) -> dict[str, str] | None:
    return fields_of(_checked(wire))


def fields_of(reply: object) -> dict[str, str] | None:
    """What HGETALL has answered, as texts; None for anything else."""
    pairs: Iterable[tuple[object, object]]
    if isinstance(reply, list):  # RESP2 has no maps
        pairs = zip(reply[::2], reply[1::2], strict=False)
    elif isinstance(reply, dict):
        pairs = reply.items()
    else:
        return None
    return {_text(name): _text(value) for name, value in pairs}


def _text(part: object) -> str:
    """What no record holds, for strange bytes and for whatever else."""
    return part.decode(errors="replace") if isinstance(part, bytes) else repr(part)


def _length(wire: Wire) -> int | None:
    reply = _checked(wire)
    return reply if isinstance(reply, int) else None


def _checked(wire: Wire) -> object:
    return checked(wire.parser.read_reply())


def checked(reply: object) -> object:
    """The reply; None for a value of the wrong type: somebody else's, so damage to us."""
    if not isinstance(reply, ResponseError):
        return reply
    if str(reply).startswith("WRONGTYPE"):
        return None
    raise reply
