"""Reads the file that the setting ``quotas_file`` names, and refuses what it can't mean."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from kvtransfer.chunks.keys import KEY_HEX_DIGITS
from kvtransfer.errors import ConfigError
from kvtransfer.quotas.limits import NO_SALT, HostLimits, RemoteLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_Reads: TypeAlias = "Callable[[str, object], Any]"
"""Reads what stands at a place in the file; raises a :class:`_WrongError`."""
_GIB = 2**30
_DIGEST = re.compile(rf"[0-9a-f]{{{KEY_HEX_DIGITS}}}")
_UNLIMITED = "unlimited"
_ELSEWHERE = {
    "disk": "the disk tier keeps no quotas; max_local_storage_size bounds it",
    "host.models": "an engine has one model; max_local_cpu_size bounds its host memory",
    "host.namespaces": "an engine has one namespace; max_local_cpu_size bounds its host memory",
}
"""What has no quota, and what to write instead."""


class _WrongError(Exception):
    """The text says where in the file, what is there, and what to write instead."""


@dataclass(frozen=True)
class Quotas:
    """All quotas of a deployment."""

    host: HostLimits | None = None
    """None: host memory is one for all tenants, as without a file."""
    remote: RemoteLimits | None = None
    """None: the remote store has no quotas."""

    @classmethod
    def read(cls, path: str | None) -> Quotas:
        """The quotas in the YAML file ``path``; none where there is no path.

        Raises:
            ConfigError: the file can't be read, or a word or value in it means nothing.
        """
        if path is None:
            return cls()
        try:
            return cls(**_places(_content(path)))
        except _WrongError as wrong:
            raise ConfigError(f"quotas_file {path}: {wrong}") from None


def _content(path: str) -> object:
    try:
        with open(path, encoding="utf-8") as file:
            return yaml.safe_load(file)
    except OSError as error:
        raise _WrongError(f"can't be read: {error.strerror}; name a file that can") from None
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark else ""
        raise _WrongError(f"is not YAML{place}; put quotes around odd texts") from None


def _places(content: object) -> dict[str, Any]:
    places = _section("", content, {"host": _host, "remote": _remote})
    if not places:
        raise _WrongError("is empty; write a section host or remote, or leave quotas_file out")
    return places


def _host(where: str, section: object) -> HostLimits:
    words = {"each_tenant": _bytes, "tenants": _tenants, "idle_after_s": _seconds}
    return HostLimits(**_limits(where, section, words))


def _remote(where: str, section: object) -> RemoteLimits:
    words = {"each_tenant": _bytes, "tenants": _tenants, "models": _named, "namespaces": _named}
    return RemoteLimits(**_limits(where, section, words))


_FIELDS = {
    "each_tenant": "each_bytes",
    "tenants": "named_bytes",
    "models": "models_bytes",
    "namespaces": "namespaces_bytes",
}


def _limits(where: str, section: object, words: Mapping[str, _Reads]) -> dict[str, Any]:
    found = _section(where, section, words)
    if not found:
        raise _WrongError(f"{where} is empty; write `each_tenant: {_UNLIMITED}`, or GiB, below it")
    return {_FIELDS.get(word, word): value for word, value in found.items()}


def _section(where: str, section: object, words: Mapping[str, _Reads]) -> dict[str, Any]:
    """What stands under each of ``words`` in ``section``, as the word's function reads it."""
    if section is None:
        return {}
    if not isinstance(section, dict):
        raise _WrongError(f"{where or 'it'} must hold lines like `{next(iter(words))}: ...`")
    found = {}
    for word, value in section.items():
        place = f"{where}.{word}" if where else str(word)
        if place in _ELSEWHERE:
            raise _WrongError(f"{place} is not known here: {_ELSEWHERE[place]}")
        if word not in words:
            raise _WrongError(f"there is no {place}; known are {', '.join(words)}")
        found[word] = words[word](place, value)
    return found


def _bytes(where: str, value: object) -> int | None:
    if value == _UNLIMITED:
        return None
    gib = _positive(value)
    if gib is None:
        raise _WrongError(f"{where} ({value!r}) must be GiB, more than 0, or {_UNLIMITED}")
    return int(gib * _GIB)


def _seconds(where: str, value: object) -> float:
    seconds = _positive(value)
    if seconds is None:
        raise _WrongError(f"{where} ({value!r}) must be seconds, more than 0")
    return seconds


def _positive(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf:
        return value
    return None


def _named(where: str, value: object) -> dict[str, int | None]:
    """GiB by name, in bytes."""
    names = _names(where, value)
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise _WrongError(f"{where} ({wrong[0]!r}) must be a text; put quotes around the name")
    return {name: _bytes(f"{where}.{name}", gib) for name, gib in names.items()}


def _tenants(where: str, value: object) -> dict[str, int | None]:
    names = _names(where, value)
    for line, name in enumerate(names, 1):  # a name that is wrong may be the salt, a secret
        if name != NO_SALT and not (isinstance(name, str) and _DIGEST.fullmatch(name)):
            raise _WrongError(
                f"name number {line} in {where} must be {NO_SALT}, or the {KEY_HEX_DIGITS} hex "
                "digits in quotes that `kvtransfer tenant` prints for a cache_salt"
            )
    named = _named(where, names)
    return {"" if name == NO_SALT else name: limit for name, limit in named.items()}


def _names(where: str, value: object) -> dict[Any, object]:
    if not isinstance(value, dict):
        raise _WrongError(f"{where} must hold lines like `name: 20`, in GiB")
    return value
