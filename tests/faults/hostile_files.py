"""What may lie in a disk store's folder, drawn at random: files, links, folders, records."""

from __future__ import annotations

import json
import os
import random
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from kvtransfer.stores.disk.file.direct_io import SECTOR_BYTES
from kvtransfer.stores.disk.file.record_sector import _MAGIC

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Chance = random.Random

SCALARS = ("", "0", "-1", "1e999", "9" * 4000, "naïve", "\ud800", "0x10", "1_0", " 7", "٣", "\0")


def fifo(path: Path, chance: Chance, good: bytes) -> None:
    os.mkfifo(path)


def folder(path: Path, chance: Chance, good: bytes) -> None:
    path.mkdir()
    if chance.random() < 0.5:
        (path / "somebody's").write_bytes(b"x")


def link(path: Path, chance: Chance, good: bytes) -> None:
    targets = (path.name, "nowhere", "..", "/", "/dev/zero", "/dev/stdin", "/proc/self/mem", ".")
    path.symlink_to(chance.choice(targets))


def garbage(path: Path, chance: Chance, good: bytes) -> None:
    length = chance.choice((0, 1, 100, SECTOR_BYTES, len(good), len(good) + 1, 3 * len(good)))
    path.write_bytes(chance.randbytes(length))


def truncated(path: Path, chance: Chance, good: bytes) -> None:
    path.write_bytes(good[: chance.randrange(len(good))])


def sparse(path: Path, chance: Chance, good: bytes) -> None:
    path.touch()
    os.truncate(path, chance.choice((len(good), 1 << 31, 1 << 40)))


def flipped(path: Path, chance: Chance, good: bytes) -> None:
    changed = bytearray(good)
    for _ in range(chance.choice((1, 1, 2, 50))):
        changed[chance.randrange(len(good))] ^= 1 << chance.randrange(8)
    path.write_bytes(changed)


def other_record(path: Path, chance: Chance, good: bytes) -> None:
    path.write_bytes(good[:-SECTOR_BYTES] + _block(_record_text(chance, good), chance))


def _block(text: bytes, chance: Chance) -> bytes:
    whole = _MAGIC + text
    if chance.random() < 0.05:
        whole = chance.randbytes(3) + whole
    return whole[:SECTOR_BYTES].ljust(SECTOR_BYTES, b"\0")


def _record_text(chance: Chance, good: bytes) -> bytes:
    text = good[-SECTOR_BYTES:].removeprefix(_MAGIC).rstrip(b"\0")
    return chance.choice((_nested, _twice, _changed, _changed, _changed, _bytes))(chance, text)


def _nested(chance: Chance, text: bytes) -> bytes:
    opening = chance.choice((b"[", b'{"a":', b'{"shape":['))
    return opening * chance.randrange(1, 4000)


def _twice(chance: Chance, text: bytes) -> bytes:
    fields = list(json.loads(text).items())
    fields.append(chance.choice(fields))
    return b"{" + b",".join(json.dumps({k: v})[1:-1].encode() for k, v in fields) + b"}"


def _changed(chance: Chance, text: bytes) -> bytes:
    fields = json.loads(text)
    for _ in range(chance.choice((1, 1, 2, 5))):
        name = chance.choice([*fields, "more"])
        if chance.random() < 0.2:
            fields.pop(name, None)
        else:
            fields[name] = _value(chance, 3)
    return json.dumps(fields, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")


def _value(chance: Chance, depth: int) -> object:
    if depth and chance.random() < 0.3:
        inner = [_value(chance, depth - 1) for _ in range(chance.randrange(4))]
        return inner if chance.random() < 0.5 else dict(enumerate(inner))
    numbers = (5, -1, 10**300, 1.5, float("inf"), float("nan"), True, None)
    return chance.choice((*numbers, *SCALARS))


def _bytes(chance: Chance, text: bytes) -> bytes:
    at = chance.randrange(len(text))
    return text[:at] + chance.randbytes(chance.choice((1, 3, 200))) + text[at + 1 :]


KINDS: tuple[Callable[[Path, Chance, bytes], None], ...] = (
    fifo, folder, link, garbage, truncated, sparse, flipped, other_record, other_record,
)  # fmt: skip


def remove(path: Path) -> None:
    """Whatever it is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError):
            path.unlink()
