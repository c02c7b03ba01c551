"""Packs the commands that stores send to Redis, and reads their replies. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from redis.exceptions import ResponseError

from kvtransfer.stores.redis.wire.batch import command

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from kvtransfer.stores.redis.wire.batch import Command
    from kvtransfer.stores.seals.seal import Sealed

# Sealing a part brings it into a cache of the processor, from which it is sent. Much smaller parts
# would leave the line idle between them.
_PART_BYTES = 4 << 20


@dataclass(frozen=True)
class Found:
    """What a server has told of the two halves of an entry."""

    fields: Mapping[str, str] | None
    """The record's fields; empty where there is no record, None where the value is no hash."""
    payload_bytes: int | None
    """Length of the payload; 0 where there is none, None where the value is no string."""
    is_filled: bool = False
    """Whether all of the payload is at the front of the buffer."""

    @property
    def is_nothing(self) -> bool:
        """Whether neither half of the entry is there."""
        return self.fields == {} and self.payload_bytes == 0


DAMAGE = Found(fields=None, payload_bytes=None)
"""Stands for values that can't be an entry of ours."""


def record_name(key: str) -> bytes:
    """Name the record of the base key ``key``."""
    return key.encode()


def payload_name(key: str) -> bytes:
    """Name the payload of the base key ``key``."""
    return f"{key}_bytes".encode()


def exists_both(keys: Sequence[str]) -> list[Command]:
    """Ask for each key how many of its two values are there."""
    return [_exists_both(key.encode()) for key in keys]


def _exists_both(key: bytes) -> bytes:
    # As ``command`` packs it, but ten times as fast: a long prompt asks for hundreds of keys.
    return b"*3\r\n$6\r\nEXISTS\r\n$%d\r\n%b\r\n$%d\r\n%b_bytes\r\n" % (
        len(key),
        key,
        len(key) + 6,
        key,
    )


def exists(names: Sequence[bytes]) -> list[Command]:
    """Ask for each name whether it is there."""
    return [command(b"EXISTS", name) for name in names]


def fields(name: bytes) -> list[Command]:
    """Ask for the fields of a record."""
    return [command(b"HGETALL", name)]


def length(name: bytes) -> list[Command]:
    """Ask for the length of a payload."""
    return [command(b"STRLEN", name)]


def scan(cursor: bytes) -> Command:
    """Ask for some names of hashes from ``cursor`` on; a hash may be a record, or foreign."""
    return command(b"SCAN", cursor, b"COUNT", b"128", b"TYPE", b"hash")


def scan_payloads(cursor: bytes) -> Command:
    """Ask for some names of strings from ``cursor`` on that may be payloads."""
    return command(b"SCAN", cursor, b"COUNT", b"128", b"MATCH", b"*@*_bytes", b"TYPE", b"string")


def set_payload(name: bytes, sealed: Sealed) -> Command:
    """Write a payload, which is sent from where it lies without a copy, and sealed on the way."""
    head = b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n" % (len(name), name, len(sealed))
    return head, partial(_parts, sealed), b"\r\n"


def set_payload_for(name: bytes, sealed: Sealed, ttl_s: int | None) -> Command:
    """Write a payload that lives for ``ttl_s``; as ``set_payload``."""
    if ttl_s is None:
        return set_payload(name, sealed)
    head = b"*5\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n" % (len(name), name, len(sealed))
    seconds = b"%d" % ttl_s
    tail = b"\r\n$2\r\nEX\r\n$%d\r\n%b\r\n" % (len(seconds), seconds)
    return head, partial(_parts, sealed), tail


def set_record(name: bytes, sealed: Sealed) -> Command:
    """Write the record of a payload that is sent before it."""
    return (lambda: [_set_fields(name, sealed.record().to_fields())],)


def _parts(sealed: Sealed) -> Iterator[memoryview]:
    for begin in range(0, len(sealed), _PART_BYTES):
        yield sealed.part(begin, min(begin + _PART_BYTES, len(sealed)))


def _set_fields(name: bytes, fields: Mapping[str, str]) -> bytes:
    parts = [part.encode() for part in chain.from_iterable(fields.items())]
    return command(b"HSET", name, *parts)


def unlink(*names: bytes) -> Command:
    """Remove what is there under ``names``."""
    return command(b"UNLINK", *names)


def expire(name: bytes, ttl_s: int | None) -> list[Command]:
    """Let ``name`` live for another ``ttl_s``; no command where that is None."""
    return [] if ttl_s is None else [command(b"EXPIRE", name, b"%d" % ttl_s)]


def in_one(commands: Sequence[Command]) -> list[Command]:
    """Have ``commands`` executed as one transaction."""
    return [command(b"MULTI"), *commands, command(b"EXEC")]


def refuse_errors(replies: Sequence[object]) -> None:
    """Raise the first error among ``replies``, which may end with the replies of a transaction.

    Raises:
        ResponseError: the error.
    """
    last = replies[-1] if replies else None
    for reply in (*replies, *(last if isinstance(last, list) else [])):
        if isinstance(reply, ResponseError):
            raise reply


def all_checked(replies: Sequence[object]) -> None:
    """Check each of ``replies``; see ``checked``."""
    for reply in replies:
        checked(reply)


def scanned(reply: object) -> tuple[bytes, list[bytes]]:
    """Read the reply to SCAN: the next cursor, which is ``0`` at the end, and names."""
    reply = checked(reply)
    if isinstance(reply, list) and len(reply) == 2 and isinstance(reply[1], list):
        cursor, names = reply
        if isinstance(cursor, bytes):
            return cursor, [name for name in names if isinstance(name, bytes)]
    return b"0", []


def fields_of(reply: object) -> dict[str, str] | None:
    """Read the reply to HGETALL as texts; None for anything else."""
    reply = checked(reply)
    pairs: Iterable[tuple[object, object]]
    if isinstance(reply, list):  # RESP2 has no maps
        pairs = zip(reply[::2], reply[1::2], strict=False)
    elif isinstance(reply, dict):
        pairs = reply.items()
    else:
        return None
    return {_text(name): _text(value) for name, value in pairs}


def length_of(reply: object) -> int | None:
    """Read the reply to STRLEN; None for anything else."""
    reply = checked(reply)
    return reply if isinstance(reply, int) else None


def checked(reply: object) -> object:
    """Return the reply; None for a value of the wrong type, which is foreign.

    Raises:
        ResponseError: any other error that the server has answered.
    """
    if not isinstance(reply, ResponseError):
        return reply
    if str(reply).startswith("WRONGTYPE"):
        return None
    raise reply


def _text(part: object) -> str:
    """Decode ``part``; what isn't UTF-8 becomes a text that no record holds."""
    return part.decode(errors="replace") if isinstance(part, bytes) else repr(part)


def info() -> Command:
    """Ask a server for all that it says of itself."""
    return command(b"INFO")


def fields_of_info(*replies: object) -> dict[str, str]:
    """Read replies to INFO or CLUSTER INFO; an error has no fields."""
    texts = [reply.decode(errors="replace") for reply in replies if isinstance(reply, bytes)]
    pairs = (line.partition(":") for text in texts for line in text.splitlines())
    return {name: value for name, colon, value in pairs if colon}
