"""What the files of a disk store are called; every other name is somebody else's and is never touched."""

from __future__ import annotations

import hashlib
import os
import re
from functools import cache
from pathlib import Path
from uuid import uuid4

_SUFFIX = ".kv"
# Names may have 255 bytes.
_LONGEST_OWNER = 200
_CUT_OWNER = 160
_OWNER = re.compile(r"[!-.0-~]+@[0-9]+@[0-9]+|[!-.0-~]{160}~[0-9a-f]{32}")
_FAN = re.compile(r"[0-9a-f]{2}")
_CHUNK = re.compile(r"[0-9a-f]{32}\.kv")
_TEMPORARY = re.compile(r"[0-9a-f]{32}\.(?P<boot>[0-9a-f]{32})\.[0-9a-f]{32}\.part")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def path_of(key: str) -> str:
    """Where the entry of the base key ``key`` lies in the store's folder."""
    owner, _, chunk_hash = key.replace("/", "%2F").rpartition("@")
    if len(owner) > _LONGEST_OWNER:
        digest = hashlib.sha256(owner.encode()).hexdigest()[:32]
        owner = f"{owner[:_CUT_OWNER]}~{digest}"
    return f"{owner}/{chunk_hash[:2]}/{chunk_hash}{_SUFFIX}"


def is_owner(name: str) -> bool:
    """Whether a folder of this name may hold chunks of one model and worker."""
    return _OWNER.fullmatch(name) is not None


def is_fan(name: str) -> bool:
    """Whether a folder of this name may be one of those that an owner's chunks are spread over."""
    return _FAN.fullmatch(name) is not None


def is_chunk(name: str, fan: str) -> bool:
    """Whether a file of this name may be a chunk in the folder ``fan``."""
    return name.startswith(fan) and _CHUNK.fullmatch(name) is not None


def new_temporary(chunk: str) -> str:
    """A name for the file that is to become ``chunk``, which no other writer uses."""
    return f"{chunk.removesuffix(_SUFFIX)}.{_boot()}.{uuid4().hex}.part"


def is_temporary(name: str) -> bool:
    """Whether ``new_temporary`` makes such names."""
    return _TEMPORARY.fullmatch(name) is not None


def is_of_this_boot(temporary: str) -> bool:
    """Whether its writer runs, or ran, under the kernel that we run under."""
    found = _TEMPORARY.fullmatch(temporary)
    return found is not None and found["boot"] == _boot()


@cache
def _boot() -> str:
    """The same in all containers of a machine until it starts again."""
    try:
        return _BOOT_ID.read_text(encoding="utf-8").strip().replace("-", "")
    except OSError:  # a system that has none: each process takes the others for another machine's
        return os.urandom(16).hex()
