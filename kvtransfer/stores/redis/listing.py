"""Lists the records and the payloads on one server, page by page."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import parse_base_key
from kvtransfer.stores.redis.commands import fields, fields_of, scan, scan_payloads, scanned
from kvtransfer.stores.redis.wire.batch import Batch
from kvtransfer.stores.redis.wire.limits import OversizedReplyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Execute = Callable[[Batch], list[object]]


def listed(execute: Execute) -> Iterator[tuple[bytes, Mapping[str, str]]]:
    """Yield the name and the fields of each hash that is as small as a record.

    Raises:
        RedisError: what ``execute`` raises.
    """
    cursor = b"0"
    while True:
        cursor, names = scanned(execute(Batch([scan(cursor)]))[0])
        for name, found in zip(names, _fields_of_all(execute, names), strict=True):
            if found:
                yield name, found
        if cursor == b"0":
            return


def payload_pages(execute: Execute) -> Iterator[list[str]]:
    """Yield the base keys of strings that are named as payloads are, a page of names at a time.

    Raises:
        RedisError: what ``execute`` raises.
    """
    cursor = b"0"
    while True:
        cursor, names = scanned(execute(Batch([scan_payloads(cursor)]))[0])
        yield list(filter(None, map(_base_key, names)))
        if cursor == b"0":
            return


def _base_key(name: bytes) -> str | None:
    """Return the base key whose payload has this name; None where it can't be one."""
    try:
        key = name.decode().removesuffix("_bytes")
        parse_base_key(key)
    except ValueError:
        return None
    return key


def _fields_of_all(execute: Execute, names: Sequence[bytes]) -> Sequence[Mapping[str, str] | None]:
    try:
        replies = execute(Batch([each for name in names for each in fields(name)]))
    except OversizedReplyError:  # at least one is too long: ask for each alone
        return [_fields_of_one(execute, name) for name in names]
    return [fields_of(reply) for reply in replies]


def _fields_of_one(execute: Execute, name: bytes) -> Mapping[str, str] | None:
    with suppress(OversizedReplyError):
        return fields_of(execute(Batch(fields(name)))[0])
    return None
