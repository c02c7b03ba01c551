"""Asks the client of a bucket over one channel; objects travel through the channel's memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kvtransfer.errors import StoreError
from kvtransfer.stores.client_process.channel import LateError
from kvtransfer.stores.client_process.payload import copy_sealed, copy_verified
from kvtransfer.stores.disk.file.direct_io import SECTOR_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.stores.client_process.channel import Channel
    from kvtransfer.stores.seals.seal import Opening, Sealed

HEADER_BYTES = SECTOR_BYTES
"""Bytes of an object before its payload."""
HEADERS_AT_ONCE = 64
"""Most headers that one call reads."""
_OBJECT_BEGIN = HEADERS_AT_ONCE * HEADER_BYTES
"""Where an object lies in the memory; headers of others lie before it."""
_PAYLOAD_BEGIN = _OBJECT_BEGIN + HEADER_BYTES
_FIRST_BYTES = HEADER_BYTES + (8 << 20)
"""What the first request for an object asks for: a short payload needs no other."""


def memory_bytes(payload_bytes: int) -> int:
    """Return the memory that a channel needs for an object with a payload of ``payload_bytes``."""
    return _PAYLOAD_BEGIN + payload_bytes


@dataclass(frozen=True)
class Found:
    """What a server tells of an object."""

    path: str
    nbytes: int
    modified: datetime
    """When it was last written, by the server's clock."""


class BucketCalls:
    """Calls over ``channel`` that have to be answered by ``deadline_s`` of ``time.monotonic``.

    Every method raises :class:`kvtransfer.errors.StoreError` where the server or the client fails,
    and where there is no answer in time, :class:`LateError`.
    """

    def __init__(self, channel: Channel, deadline_s: float) -> None:
        self._channel = channel
        self._deadline_s = deadline_s

    def until(self, deadline_s: float) -> BucketCalls:
        """Return calls over the same channel that have to be answered by ``deadline_s``."""
        return BucketCalls(self._channel, deadline_s)

    def require_client(self) -> None:
        """Wait until the client is ready.

        Raises:
            JoinError: it never will be.
        """
        self._ask("ready")

    def heads(self, paths: Sequence[str]) -> list[Found | None]:
        """Say what the server knows of objects; None where there is none."""
        return [_found(told) for told in self._ask("heads", paths=paths)]

    def headers(self, paths: Sequence[str]) -> list[tuple[Found, bytes] | None]:
        """Read the beginnings of at most ``HEADERS_AT_ONCE`` objects; None where there is none."""
        told = map(_found, self._ask("headers", paths=paths, nbytes=HEADER_BYTES))
        return [
            None if found is None else (found, self._header(index * HEADER_BYTES, found))
            for index, found in enumerate(told)
        ]

    def read(self, path: str, room_bytes: int) -> tuple[Found, bytes] | None:
        """Read an object whose payload may have ``room_bytes`` at most; of a longer one, nothing.

        None is an object that isn't there, is empty, or was replaced or removed meanwhile.
        """
        found = _found(
            self._ask(
                "read",
                path=path,
                begin=_OBJECT_BEGIN,
                room_bytes=HEADER_BYTES + room_bytes,
                first_bytes=_FIRST_BYTES,
            )
        )
        return None if found is None else (found, self._header(_OBJECT_BEGIN, found))

    def copy_payload(self, target: memoryview, opening: Opening) -> None:
        """Copy the payload that was read to ``target``, and let ``opening`` verify each part."""
        copy_verified(self._channel.memory[_PAYLOAD_BEGIN:], target, opening)

    def take_payload(self, sealed: Sealed) -> None:
        """Copy the payload of ``sealed`` into the memory, and seal each part on the way."""
        copy_sealed(sealed, self._channel.memory[_PAYLOAD_BEGIN:])

    def write(self, path: str, header: bytes, payload_bytes: int) -> None:
        """Write an object of ``header`` and the payload that was taken over what is there."""
        self._ask("write", **self._object(path, header, payload_bytes))

    def create(self, path: str, header: bytes, payload_bytes: int) -> bool:
        """Write such an object if there is none; False where there is one.

        One over 16 MiB takes the place of what is there, and any where the server can't write on a
        condition.
        """
        is_created: bool = self._ask("create", **self._object(path, header, payload_bytes))
        return is_created

    def renew(self, path: str) -> None:
        """Make an object as new; its payload doesn't travel."""
        self._ask("renew", path=path)

    def remove(self, paths: Sequence[str]) -> None:
        """Remove those of the objects that are there."""
        self._ask("remove", paths=paths)

    def first_page(self) -> list[Found] | None:
        """Begin to list all objects, and return the first page; None where there is none."""
        return _page(self._ask("first_page"))

    def next_page(self) -> list[Found] | None:
        """Return the page after the one before, on the same channel; None after the last one."""
        return _page(self._ask("next_page"))

    def _object(self, path: str, header: bytes, payload_bytes: int) -> dict[str, Any]:
        self._channel.memory[_OBJECT_BEGIN:_PAYLOAD_BEGIN] = header
        return {"path": path, "begin": _OBJECT_BEGIN, "nbytes": HEADER_BYTES + payload_bytes}

    def _header(self, begin: int, found: Found) -> bytes:
        end = begin + min(HEADER_BYTES, found.nbytes)
        return bytes(self._channel.memory[begin:end])

    def _ask(self, call: str, **arguments: object) -> Any:  # noqa: ANN401 - as JSON is
        request = {"call": call, "arguments": arguments, "deadline_s": self._deadline_s}
        answer = self._channel.ask(request, self._deadline_s)
        if "error" in answer:
            raise StoreError(answer["error"])
        if "value" not in answer:
            raise LateError("no answer in time")
        return answer["value"]


def _page(told: list[list[Any]] | None) -> list[Found] | None:
    return None if told is None else [found for each in told if (found := _found(each))]


def _found(told: list[Any] | None) -> Found | None:
    if told is None:
        return None
    path, nbytes, modified_s = told
    return Found(path, nbytes, datetime.fromtimestamp(modified_s, UTC))
