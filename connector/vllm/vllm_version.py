"""Refuses versions of vLLM that are too old, and warns of those that we haven't tested."""

from __future__ import annotations

import logging

from packaging.version import InvalidVersion, Version

from kvtransfer.errors import ConfigError

_LOG = logging.getLogger("kvtransfer")

OLDEST = (0, 31)
NEWEST = (0, 33)


def refuse_older(version: str) -> None:
    """Raise ConfigError for a vLLM whose connector interface isn't the one that we implement."""
    release = _release(version)
    if release is not None and release < OLDEST:
        raise ConfigError(
            f"vLLM {version} is not supported, only {_dotted(OLDEST)} and later; upgrade vLLM"
        )


def warn_of_newer(version: str) -> None:
    """Log a warning if our tests have not run with this version."""
    release = _release(version)
    if release is None or release > NEWEST:
        _LOG.warning(
            "kvtransfer was tested with vLLM %s to %s, not with this vLLM %s",
            _dotted(OLDEST),
            _dotted(NEWEST),
            version,
        )


def _release(version: str) -> tuple[int, int] | None:
    """Return major and minor number; None for a build between releases, whose number says little."""
    try:
        parsed = Version(version)
    except InvalidVersion:
        return None
    return None if parsed.is_devrelease else (parsed.major, parsed.minor)


def _dotted(release: tuple[int, int]) -> str:
    return f"{release[0]}.{release[1]}"
