"""Copies payloads to and from the memory of a channel, and verifies or seals them on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from kvtransfer.stores.seals.seal import Opening, Sealed

# Copying a part brings it into a cache of the processor, where it is hashed or encrypted.
_PART_BYTES = 4 << 20


def copy_verified(memory: memoryview, target: memoryview, opening: Opening) -> None:
    """Copy the front of ``memory`` into all of ``target``, and let ``opening`` verify each part."""
    for begin in range(0, len(target), _PART_BYTES):
        part = target[begin : begin + _PART_BYTES]
        _copy(part, memory[begin:][: len(part)])
        opening.update(part)


def copy_sealed(sealed: Sealed, memory: memoryview) -> None:
    """Copy the payload of ``sealed`` to the front of ``memory``, and seal each part on the way."""
    for begin in range(0, len(sealed), _PART_BYTES):
        part = sealed.part(begin, min(begin + _PART_BYTES, len(sealed)))
        _copy(memory[begin:][: len(part)], part)


def _copy(target: memoryview, source: memoryview) -> None:
    """Copy ``source`` to ``target``, which is as long, and let other threads run meanwhile."""
    np.copyto(np.frombuffer(target, np.uint8), np.frombuffer(source, np.uint8))
