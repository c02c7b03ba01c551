"""Names the files of a disk store, and recognizes them; files with other names are never touched."""

from __future__ import annotations

import hashlib
import os
import re
from functools import cache
from pathlib import Path
from uuid import uuid4

_SUFFIX = ".kv"
# File systems allow names of 255 bytes.
_LONGEST_OWNER = 200
_CUT_OWNER = 160
_OWNER = re.compile(r"[!-.0-~]+@[0-9]+@[0-9]+|[!-.0-~]{160}~[0-9a-f]{32}")
_FAN = re.compile(r"[0-9a-f]{2}")
_CHUNK = re.compile(r"[0-9a-f]{32}(?:-[0-9]+)?\.kv")
_TEMPORARY = re.compile(r"[0-9a-f]{32}(?:-[0-9]+)?\.(?P<boot>[0-9a-f]{32})\.[0-9a-f]{32}\.part")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def path_of(key: str) -> str:
    """Return the path of the entry of the base key ``key``, from the store's folder."""
    owner, _, chunk_hash = key.replace("/", "%2F").rpartition("@")
    if len(owner) > _LONGEST_OWNER:
        digest = hashlib.sha256(owner.encode()).hexdigest()[:32]
        owner = f"{owner[:_CUT_OWNER]}~{digest}"
    return f"{owner}/{chunk_hash[:2]}/{chunk_hash}{_SUFFIX}"


def key_of(path: str) -> str | None:
    """Return the base key whose entry has this ``path``; None where the path has only part of it."""
    owner = path.partition("/")[0]
    if len(owner) > _LONGEST_OWNER or "~" in owner[_CUT_OWNER:]:
        return None
    return f"{owner.replace('%2F', '/')}@{chunk_at(path)}"


def is_owner(name: str) -> bool:
    """Whether a folder called ``name`` may hold the chunks of one model and worker."""
    return _OWNER.fullmatch(name) is not None


def is_fan(name: str) -> bool:
    """Whether ``name`` may be one of the folders over which an owner's chunks are spread."""
    return _FAN.fullmatch(name) is not None


def is_chunk(name: str, fan: str) -> bool:
    """Whether a file called ``name`` may be a chunk in the folder ``fan``."""
    return name.startswith(fan) and _CHUNK.fullmatch(name) is not None


def new_temporary(chunk: str) -> str:
    """Return a unique name for the temporary file that is to become ``chunk``."""
    return f"{chunk.removesuffix(_SUFFIX)}.{_boot()}.{uuid4().hex}.part"


def chunk_at(path: str) -> str:
    """Return the key, without its tenant, of the chunk or piece whose entry has the ``path``."""
    return path.rpartition("/")[2].removesuffix(_SUFFIX)


def is_temporary(name: str) -> bool:
    """Whether ``name`` is one that ``new_temporary`` returns."""
    return _TEMPORARY.fullmatch(name) is not None


def is_of_this_boot(temporary: str) -> bool:
    """Whether the writer of the file ``temporary`` ran on this machine since it last booted."""
    found = _TEMPORARY.fullmatch(temporary)
    return found is not None and found["boot"] == _boot()


@cache
def _boot() -> str:
    """Return the id of this boot, which all containers of a machine share."""
    try:
        return _BOOT_ID.read_text(encoding="utf-8").strip().replace("-", "")
    except OSError:  # no such id here: each process counts as a machine of its own
        return os.urandom(16).hex()
