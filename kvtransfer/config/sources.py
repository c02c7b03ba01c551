"""Reads settings from a YAML file and from the environment, in our names or LMCache's."""

from __future__ import annotations

import difflib
import logging
import re
from typing import TYPE_CHECKING, Any

import yaml

from kvtransfer.config import lmcache_names
from kvtransfer.config.sourced import Value
from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Tell = Callable[[int, str], object]

_OURS, _THEIRS = "KVTRANSFER_", "LMCACHE_"
_NOT_SETTINGS = {"KVTRANSFER_CONFIG_FILE", "LMCACHE_CONFIG_FILE"}
_NOTHING = {"none", "null"}
# Kubernetes sets these variables in every container for a Service with a name like our prefix.
_OF_A_SERVICE = re.compile(
    r"(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
# "chunksize" and "chunk_size" are this similar, "pod_name" and "model_name" are not.
_TYPO = 0.85


def config_file(environ: Mapping[str, str], named: Value | None) -> str | None:
    """The path of the settings file: ``named``, which LMCache's users set, or the environment's."""
    if named is not None:
        return str(named.value)
    return environ.get("KVTRANSFER_CONFIG_FILE") or environ.get("LMCACHE_CONFIG_FILE")


def yaml_file(path: str, known: Iterable[str], tell: Tell) -> dict[str, Value]:
    """The settings in the YAML file ``path``, in our names or LMCache's.

    Args:
        path: the file.
        known: the names of our settings.
        tell: is called with a log level and a sentence for each setting that is ignored.

    Raises:
        ConfigError: the file can't be read, or is not a mapping of names to values.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content: Any = yaml.safe_load(file)
    except OSError as error:
        raise ConfigError(f"can't read the configuration file {path}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError) as error:
        # The parser's own message quotes the file, which may contain a password.
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path} is not YAML{place}; put quotes around odd texts") from None
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise ConfigError(f"{path} must hold lines like `chunk_size: 256`, nothing else")
    values = {name: Value(value, f"{path}: {name}") for name, value in content.items()}
    return translated(values, known, tell)


def environment(environ: Mapping[str, str], known: Iterable[str], tell: Tell) -> dict[str, Value]:
    """The settings in the variables ``LMCACHE_*`` and ``KVTRANSFER_*``; the latter win.

    The values are strings, None for ``none``; an empty variable sets nothing. Another program may
    own a variable, so an unknown one is ignored, and ``tell`` is called with a log level and a
    sentence about it. It is returned only if it looks like a misspelt setting of ours.
    """
    theirs = translated(_prefixed(environ, _THEIRS), known, tell)
    ours = _prefixed(environ, _OURS)
    typos = {name for name in ours if difflib.get_close_matches(name, known, 1, _TYPO)}
    strange = {
        **{name: value for name, value in theirs.items() if name not in known},
        **{name: value for name, value in ours.items() if name not in {*known, *typos}},
    }
    for name, value in strange.items():
        told = f"{unknown(value.source, name, known)}; the variable is ignored"
        tell(logging.WARNING, told)
    both = theirs | ours
    return {name: value for name, value in both.items() if name in {*known, *typos}}


def unknown(source: str, name: str, known: Iterable[str]) -> str:
    """One sentence about the unknown setting ``name``, with the nearest known one."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(known)}"
    return f"{source}: there is no setting {name!r}; {hint}"


def _prefixed(environ: Mapping[str, str], prefix: str) -> dict[str, Value]:
    return {
        name.removeprefix(prefix).lower(): Value(_read(text.strip()), name)
        for name, text in environ.items()
        if name.startswith(prefix) and text.strip() and _may_be_setting(name, prefix)
    }


def _may_be_setting(name: str, prefix: str) -> bool:
    is_of_service = _OF_A_SERVICE.fullmatch(name.removeprefix(prefix)) is not None
    return name not in _NOT_SETTINGS and not is_of_service


def translated(values: Mapping[str, Value], known: Iterable[str], tell: Tell) -> dict[str, Value]:
    """``values`` in our names, without the settings that only LMCache has.

    ``tell`` is called with a log level and a sentence about those. A feature that is missing here
    is told as an error, because a deployment may depend on it.
    """
    ours, names = lmcache_names.in_our_words(values), set(known)
    for sentence in lmcache_names.lost_features(ours):
        tell(logging.ERROR, sentence)
    if knobs := lmcache_names.knobs(ours, names):
        told = f"settings of LMCache that have no effect here: {', '.join(knobs)}"
        tell(logging.WARNING, told)
    return lmcache_names.without_theirs(ours, names)


def _read(text: str) -> str | None:
    return None if text.lower() in _NOTHING else text
