"""Which versions of vLLM the connector was tested with: older ones are refused, newer ones named."""

from __future__ import annotations

import logging

from packaging.version import InvalidVersion, Version

from kvtransfer.errors import ConfigError

_LOG = logging.getLogger("kvtransfer")

OLDEST = (0, 31)
NEWEST = (0, 33)


def refuse_older(version: str) -> None:
    """Raise ConfigError where vLLM's interface is another than the one we implement."""
    release = _release(version)
    if release is not None and release < OLDEST:
        raise ConfigError(
            f"vLLM {version} is not supported, only {_dotted(OLDEST)} and later; upgrade vLLM"
        )


def warn_of_newer(version: str) -> None:
    """Say so where no test of ours has run with this version."""
    release = _release(version)
    if release is None or release > NEWEST:
        _LOG.warning(
            "kvtransfer was tested with vLLM %s to %s, not with this vLLM %s",
            _dotted(OLDEST),
            _dotted(NEWEST),
            version,
        )


def _release(version: str) -> tuple[int, int] | None:
    """Major and minor number; None for a build between releases, which may have any."""
    try:
        parsed = Version(version)
    except InvalidVersion:
        return None
    return None if parsed.is_devrelease else (parsed.major, parsed.minor)


def _dotted(release: tuple[int, int]) -> str:
    return f"{release[0]}.{release[1]}"
