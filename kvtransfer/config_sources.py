"""Where settings come from besides a caller: a YAML file, the environment, LMCache's too."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import yaml

from kvtransfer import lmcache_names
from kvtransfer.errors import ConfigError
from kvtransfer.sourced import Value

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

_LOG = logging.getLogger("kvtransfer")
_OURS, _THEIRS = "KVTRANSFER_", "LMCACHE_"
_NOT_SETTINGS = {"KVTRANSFER_CONFIG_FILE", "LMCACHE_CONFIG_FILE"}
_NOTHING = {"none", "null"}


def config_file(environ: Mapping[str, str], named: Value | None) -> str | None:
    """The file of settings that ``named`` is, as LMCache's users write it, or the environment."""
    if named is not None:
        return str(named.value)
    return environ.get("KVTRANSFER_CONFIG_FILE") or environ.get("LMCACHE_CONFIG_FILE")


def yaml_file(path: str, known: Container[str]) -> dict[str, Value]:
    """The settings in the YAML file ``path``, ours or LMCache's.

    Raises:
        ConfigError: it can't be read, or is no mapping of names to values.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content: Any = yaml.safe_load(file)
    except OSError as error:
        raise ConfigError(f"can't read the configuration file {path}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError) as error:
        # Only the place: the parser's words quote the file, which may hold a password.
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path} is not YAML{place}; put quotes around odd texts") from None
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise ConfigError(f"{path} must hold lines like `chunk_size: 256`, nothing else")
    values = {name: Value(value, f"{path}: {name}") for name, value in content.items()}
    return translated(values, known)


def environment(environ: Mapping[str, str], known: Container[str]) -> dict[str, Value]:
    """The settings among ``LMCACHE_*`` and, winning over them, ``KVTRANSFER_*``.

    Their values are texts, None for ``none``; an empty variable sets nothing.
    """
    theirs = translated(_prefixed(environ, _THEIRS), known)
    return theirs | _prefixed(environ, _OURS)


def _prefixed(environ: Mapping[str, str], prefix: str) -> dict[str, Value]:
    return {
        name.removeprefix(prefix).lower(): Value(_read(text.strip()), name)
        for name, text in environ.items()
        if name.startswith(prefix) and name not in _NOT_SETTINGS and text.strip()
    }


def translated(values: Mapping[str, Value], known: Container[str]) -> dict[str, Value]:
    """Under our names; what only LMCache has is left out, and said: each feature, then the rest."""
    ours = lmcache_names.in_our_words(values)
    for sentence in lmcache_names.lost_features(ours):
        _LOG.error("%s", sentence)
    if knobs := lmcache_names.knobs(ours, known):
        _LOG.warning("settings of LMCache without a meaning here: %s", ", ".join(knobs))
    return lmcache_names.without_theirs(ours, known)


def _read(text: str) -> str | None:
    return None if text.lower() in _NOTHING else text
