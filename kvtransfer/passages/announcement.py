"""Packs the token ids of a saved request for other processes, and reads what they have packed.

An announcement is a header and the token ids, 4 bytes each, little endian, deflated where that is
shorter. Readers take it from a store, so it may be damaged or hostile.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from kvtransfer.passages.space import Space

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MOST_TOKENS = 2**20
"""Most token ids in one announcement."""

_MARK = b"kvtp"
_VERSION = 1
_PLAIN, _DEFLATED = 0, 1
# Mark, version, how the ids are packed, their number, the digest of the space.
_HEAD = struct.Struct("<4sBBxxI32s")
_CHECKSUM = struct.Struct("<I")
_HEADER_BYTES = _HEAD.size + _CHECKSUM.size
_ID_BYTES = 4
_LEVEL = 1  # the fastest

MOST_BYTES = _HEADER_BYTES + _ID_BYTES * MOST_TOKENS
"""Most bytes of one announcement."""


def as_token_ids(token_ids: Sequence[int] | NDArray[np.int32]) -> NDArray[np.int32]:
    """Return ``token_ids`` as an array, if they can be announced.

    Raises:
        ValueError: there are no ids, more than ``MOST_TOKENS``, or one outside of ``[0, 2**31)``;
            the message names no id.
    """
    if not 0 < len(token_ids) <= MOST_TOKENS:
        raise ValueError(f"{len(token_ids)} token ids; pass 1 .. {MOST_TOKENS}")
    try:
        ids = np.asarray(token_ids)
    except (OverflowError, ValueError):  # their texts may quote an id
        ids = np.empty(0)
    if ids.ndim != 1 or ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() >= 2**31:
        raise ValueError("token ids must be integers in [0, 2**31)")
    return ids.astype(np.int32, copy=False)


def encode(space: Space, token_ids: Sequence[int] | NDArray[np.int32]) -> bytes:
    """Pack ``token_ids``, which were saved in ``space`` from the first token of a request on.

    Raises:
        ValueError: see ``as_token_ids``.
    """
    ids = as_token_ids(token_ids)
    plain = ids.astype("<i4").tobytes()
    deflated = zlib.compress(plain, _LEVEL)
    packing, body = (_DEFLATED, deflated) if len(deflated) < len(plain) else (_PLAIN, plain)
    head = _HEAD.pack(_MARK, _VERSION, packing, len(ids), space.digest)
    return head + _CHECKSUM.pack(zlib.crc32(body, zlib.crc32(head))) + body


def decode(payload: bytes) -> tuple[Space, NDArray[np.int32]]:
    """Unpack what ``encode`` has packed; takes at most ``MOST_BYTES`` of memory, whatever it gets.

    Returns:
        The space, and the token ids as a read-only array of one dimension.

    Raises:
        ValueError: ``payload`` is no announcement of this version.
    """
    if not _HEADER_BYTES < len(payload) <= MOST_BYTES:
        raise ValueError(f"{len(payload)} bytes are no announcement")
    mark, version, packing, count, digest = _HEAD.unpack_from(payload)
    if (mark, version) != (_MARK, _VERSION) or not 0 < count <= MOST_TOKENS:
        raise ValueError("not an announcement of this version")
    head, body = payload[: _HEAD.size], payload[_HEADER_BYTES:]
    if _CHECKSUM.unpack_from(payload, _HEAD.size) != (zlib.crc32(body, zlib.crc32(head)),):
        raise ValueError("an announcement is damaged")
    ids = np.frombuffer(_unpacked(packing, body, _ID_BYTES * count), "<i4").astype(np.int32)
    if int(ids.min()) < 0:
        raise ValueError("an announcement has negative token ids")
    ids.flags.writeable = False
    return Space(digest), ids


def _unpacked(packing: int, body: bytes, nbytes: int) -> bytes:
    """Return the ``nbytes`` of token ids in ``body``.

    Raises:
        ValueError: it has more or fewer, or is not packed as ``packing`` says.
    """
    plain = body if packing == _PLAIN else _inflated(body, nbytes) if packing == _DEFLATED else b""
    if len(plain) != nbytes:
        raise ValueError("an announcement is not as long as it says")
    return plain


def _inflated(body: bytes, nbytes: int) -> bytes:
    inflate = zlib.decompressobj()
    try:
        plain = inflate.decompress(body, nbytes)
        rest = inflate.decompress(inflate.unconsumed_tail, 1)
    except zlib.error:
        raise ValueError("an announcement can't be inflated") from None
    if rest or not inflate.eof or inflate.unused_data:
        raise ValueError("an announcement is not as long as it says")
    return plain
