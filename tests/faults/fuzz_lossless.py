"""Hostile lossless forms, case after case, each drawn from the seed and its number.

``python -m tests.faults.fuzz_lossless [--cases N] [--seed N]``: forms that are cut, flipped, that lie
in any of their numbers, or whose frames are bombs. Ends with 1, and says which case it was, if a
promise was broken: decoding never raises, writes nowhere but into its slot, and takes little memory.
"""

from __future__ import annotations

import argparse
import faulthandler
import random
import struct
import sys
import tracemalloc
from typing import TYPE_CHECKING

from kvtransfer.stores.lossless.codec import Lossless
from kvtransfer.stores.lossless.container import description, description_bytes
from kvtransfer.stores.lossless.stretches import stretches_of
from tests.stores.lossless.floats import FLOATS, chunk_of, decoded, stored_form

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable

HANG_S = 300.0
MOST_BYTES = 4 << 20
"""What decoding may take beside the slot, which has a hundredth of that."""
LIES = (0, 1, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
LOSSLESS = Lossless()
FORMS = {name: stored_form(LOSSLESS, chunk_of(form), form) or b"" for name, form in FLOATS.items()}
_BOMB = zstd.compress(bytes(64 << 20))
_FAR = zstd.compress(bytes(1 << 20), options={zstd.CompressionParameter.window_log: 27})


class Wrong(AssertionError):
    """A promise was broken."""


def cut(stored: bytes, chance: random.Random) -> bytes:
    """Less of it, from either end."""
    at = chance.randrange(len(stored))
    return chance.choice((stored[:at], stored[at:], stored[:at] + stored[at + 1 :]))


def flipped(stored: bytes, chance: random.Random) -> bytes:
    """A few bits are others, near the end of it more often."""
    changed = bytearray(stored)
    for _ in range(chance.choice((1, 1, 2, 10))):
        last = chance.choice((20, 200, len(stored)))
        changed[-chance.randint(1, min(last, len(stored)))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def lying(stored: bytes, chance: random.Random) -> bytes:
    """A number of its description says something else."""
    changed, lie = bytearray(stored), chance.choice(LIES)
    width = 4 if lie < 2**32 else 8
    at = len(stored) - 4 * chance.randint(width // 4, 30)
    struct.pack_into("<I" if width == 4 else "<Q", changed, at, lie)
    return bytes(changed)


def swapped(stored: bytes, chance: random.Random) -> bytes:
    """A stretch of it lies elsewhere too."""
    changed, nbytes = bytearray(stored), chance.randint(1, len(stored) // 2)
    here, there = (chance.randrange(len(stored) - nbytes) for _ in range(2))
    changed[here : here + nbytes] = stored[there : there + nbytes]
    return bytes(changed)


def noise(stored: bytes, chance: random.Random) -> bytes:
    """No form at all, or one with its description alone."""
    kept = chance.choice((0, 20, 200))
    return chance.randbytes(len(stored) - kept) + stored[len(stored) - kept :]


KINDS: tuple[Callable[[bytes, random.Random], bytes], ...] = (cut, flipped, lying, swapped, noise)


def bombed(name: str, chance: random.Random) -> bytes:
    """A good description of parts, one of which is a frame that means something else."""
    stretches = stretches_of(FLOATS[name])
    stripes = [stretch.elements for stretch in stretches for _ in range(stretch.kind.width)]
    number = chance.randrange(len(stripes))
    frame = chance.choice((_BOMB, _FAR, _BOMB[: chance.randrange(1, 60)], _skippable(chance)))
    frame = frame[: stripes[number] - 1]
    parts = [bytes(elements) for elements in stripes]
    parts[number] = frame
    while sum(map(len, parts)) + description_bytes(stretches) >= FLOATS[name].nbytes:
        other = chance.randrange(len(parts))
        parts[other] = zstd.compress(bytes(stripes[other])) if other != number else frame
    return b"".join(parts) + description(stretches, [len(part) for part in parts])


def _skippable(chance: random.Random) -> bytes:
    return struct.pack("<II", 0x184D2A50, chance.choice((0, 8, 2**31, 2**32 - 1))) + bytes(8)


def face(name: str, stored: bytes) -> bytes | None:
    """Decode ``stored`` in a slot whose surroundings must stay; None where it is refused."""
    form = FLOATS[name]
    if len(stored) > form.nbytes:  # no store reads such an entry
        return None
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    chunk = decoded(LOSSLESS, stored, form)
    taken = tracemalloc.get_traced_memory()[1] - before
    if taken > MOST_BYTES:
        raise Wrong(f"decoding took {taken} bytes")
    return chunk


def fuzz(cases: int, seed: int) -> int:
    """Run the first ``cases`` of ``seed``; return how many were refused.

    Raises:
        Wrong: with the number of the case that broke a promise.
    """
    refused = 0
    tracemalloc.start()
    try:
        for number in range(cases):
            if number % 1000 == 0:
                faulthandler.dump_traceback_later(HANG_S, exit=True)
            refused += _case(number, seed)
    finally:
        tracemalloc.stop()
        faulthandler.cancel_dump_traceback_later()
    return refused


def _case(number: int, seed: int) -> bool:
    chance = random.Random(f"{seed}/{number}")
    name = chance.choice(list(FORMS))
    kind = chance.choice((*KINDS, None))
    stored = kind(FORMS[name], chance) if kind else bombed(name, chance)
    try:
        return face(name, stored) is None
    except Exception as error:
        raise Wrong(f"case {number} of seed {seed}: {error!r}") from error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    refused = fuzz(options.cases, options.seed)
    print(f"{options.cases} hostile lossless forms: well, {refused} of them refused")


if __name__ == "__main__":
    main()
