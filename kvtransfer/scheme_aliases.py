"""Knows other names of store schemes: those of Valkey, and LMCache's for the same servers."""

from __future__ import annotations

_ALIASES = {
    "resp": "redis",
    "valkey": "redis",
    "valkeys": "rediss",
    "valkey-sentinel": "redis-sentinel",
    "valkeys-sentinel": "rediss-sentinel",
    "valkey-cluster": "redis-cluster",
    "valkeys-cluster": "rediss-cluster",
}


def is_alias(scheme: str) -> bool:
    """Whether ``scheme`` is another name of a scheme."""
    return scheme in _ALIASES


def without_alias(url: str) -> str:
    """Return ``url`` under the scheme that the stores know."""
    scheme, separator, rest = url.partition("://")
    return f"{_ALIASES.get(scheme, scheme)}{separator}{rest}"
