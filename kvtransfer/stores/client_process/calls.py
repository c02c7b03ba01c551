"""Makes the calls that entries need over one channel: two values each, a record and a payload."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from kvtransfer.stores.client_process.entry_record import EntryRecord
from kvtransfer.stores.client_process.payload import copy_sealed, copy_verified

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.stores.client_process.channel import Channel
    from kvtransfer.stores.client_process.codes import Codes
    from kvtransfer.stores.seals.seal import Opening, Sealed

# A client may note the length of a value in the bytes before it.
_HEAD_BYTES = 64
_RECORD_BYTES = 16384
"""For one record and what is before it; a model's name would have to be very long to need it."""
_PAYLOAD_BEGIN = _RECORD_BYTES + _HEAD_BYTES
RECORDS_AT_ONCE = 64
"""Most records that one call reads."""


def entry_bytes(payload_bytes: int) -> int:
    """Return the memory that a channel needs for an entry with a payload of ``payload_bytes``."""
    return _PAYLOAD_BEGIN + payload_bytes


def records_bytes(count: int) -> int:
    """Return the memory that a channel needs for ``count`` records."""
    return count * _RECORD_BYTES


def payload_name(key: str) -> str:
    """Name the payload of the base key ``key``, which itself names the record."""
    return f"{key}_bytes"


def both_names(keys: Sequence[str]) -> list[str]:
    """Name the records of ``keys``, then their payloads."""
    return [*keys, *map(payload_name, keys)]


class Written(Enum):
    """How a write has ended."""

    HELD = "the store holds what was written"
    BUSY = "another call writes or reads it"
    FULL = "the store has no room"


class Found(NamedTuple):
    """What was read of an entry."""

    record: EntryRecord | None
    payload_bytes: int
    """Length of the payload; negative where there is none, or none that fits."""
    is_damage: bool
    """Whether something is there, and no call is writing it now."""


class EntryCalls:
    """Calls over ``channel`` that have to be answered by ``deadline_s``.

    Every method raises :class:`kvtransfer.errors.StoreError` where the client fails, or is late.
    """

    def __init__(self, channel: Channel, codes: Codes, deadline_s: float) -> None:
        self._channel = channel
        self._codes = codes
        self._deadline_s = deadline_s

    def exist(self, names: Sequence[str]) -> list[bool]:
        """Say for each name whether its value is there."""
        answers = self._channel.call("exist", names, self._deadline_s)
        self._codes.require(answers, self._codes.absent)
        return [answer == 1 for answer in answers]

    def has_length(self, name: str, nbytes: int) -> bool:
        """Whether the value of ``name`` is there and has ``nbytes``."""
        answers = self._channel.call("lengths", [name], self._deadline_s, sizes=[nbytes])
        self._codes.require(answers, self._codes.absent, self._codes.busy)
        return answers == [nbytes]

    def records(self, keys: Sequence[str]) -> list[EntryRecord | None]:
        """Read the records of at most ``RECORDS_AT_ONCE`` keys; None for what is none."""
        begins = [index * _RECORD_BYTES + _HEAD_BYTES for index in range(len(keys))]
        sizes = [_RECORD_BYTES - _HEAD_BYTES] * len(keys)
        lengths = self._channel.call("read", keys, self._deadline_s, begins, sizes)
        self._codes.require(lengths, self._codes.absent, self._codes.busy, self._codes.unfit)
        return [
            self._record(key, begin, length)
            for key, begin, length in zip(keys, begins, lengths, strict=True)
        ]

    def read(self, key: str, room_bytes: int) -> Found:
        """Read both halves of an entry, whose payload may have ``room_bytes`` at most."""
        begins = [_HEAD_BYTES, _PAYLOAD_BEGIN]
        sizes = [_RECORD_BYTES - _HEAD_BYTES, room_bytes]
        lengths = self._channel.call("read", both_names([key]), self._deadline_s, begins, sizes)
        self._codes.require(lengths, self._codes.absent, self._codes.busy, self._codes.unfit)
        is_nothing = all(length in self._codes.absent for length in lengths)
        is_busy = any(length in self._codes.busy for length in lengths)
        record = self._record(key, _HEAD_BYTES, lengths[0])
        return Found(record, lengths[1], not is_nothing and not is_busy)

    def copy_payload(self, target: memoryview, opening: Opening) -> None:
        """Copy the payload that was read to ``target``, and let ``opening`` verify each part."""
        copy_verified(self._channel.memory[_PAYLOAD_BEGIN:], target, opening)

    def take_payload(self, sealed: Sealed) -> None:
        """Copy the payload of ``sealed`` into the channel's memory, and seal each part on the way."""
        copy_sealed(sealed, self._channel.memory[_PAYLOAD_BEGIN:])

    def write(self, key: str, record: EntryRecord, payload_bytes: int | None = None) -> Written:
        """Hold ``record``, and the payload that was taken where its length is given; replace the old."""
        value = record.to_bytes()
        if len(value) > _RECORD_BYTES - _HEAD_BYTES:
            return Written.FULL
        self._channel.memory[_HEAD_BYTES : _HEAD_BYTES + len(value)] = value
        names, begins, sizes = [key], [_HEAD_BYTES], [len(value)]
        if payload_bytes is not None:
            names, begins = both_names([key]), [_HEAD_BYTES, _PAYLOAD_BEGIN]
            sizes.append(payload_bytes)
        codes = self._channel.call("write", names, self._deadline_s, begins, sizes)
        # A value that isn't there when its write ends was removed meanwhile.
        self._codes.require(codes, self._codes.full, self._codes.busy, self._codes.absent)
        if any(code in self._codes.full for code in codes):
            return Written.FULL
        return Written.BUSY if min(codes) < 0 else Written.HELD

    def remove(self, keys: Sequence[str]) -> None:
        """Remove both halves of the entries of ``keys``; what others use stays."""
        codes = self._channel.call("remove", both_names(keys), self._deadline_s)
        self._codes.require(codes, self._codes.absent, self._codes.busy)

    def _record(self, key: str, begin: int, length: int) -> EntryRecord | None:
        if length < 0:
            return None
        return EntryRecord.read(bytes(self._channel.memory[begin : begin + length]), key)
