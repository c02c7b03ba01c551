"""Reads store URLs such as ``disk:///path?max_gib=100`` and ``file:///mnt/share``."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from kvtransfer.errors import ConfigError
from kvtransfer.urls import masked

if TYPE_CHECKING:
    from urllib.parse import SplitResult


def read_disk_url(url: str) -> tuple[str, int | None]:
    """Return the folder, and the bytes that it may hold; None where the URL sets no limit.

    Raises:
        ConfigError: the URL is malformed.
    """
    parts = urlsplit(url)
    form = f"{parts.scheme}:///path or {parts.scheme}:///path?max_gib=100"
    if parts.netloc:
        raise malformed(url, form)
    return folder_and_limit(url, parts, form)


def folder_and_limit(url: str, parts: SplitResult, form: str) -> tuple[str, int | None]:
    """Read path and query of ``url``, whose ``parts`` these are; ``form`` shows what to write.

    Raises:
        ConfigError: they are malformed.
    """
    options = parse_qs(parts.query, keep_blank_values=True)
    sizes = options.pop("max_gib", [])
    try:
        if len(parts.path) < 2 or options or len(sizes) > 1:
            raise malformed(url, form)
        limit_bytes = int(float(sizes[0]) * 2**30) if sizes else None
    except (ValueError, OverflowError):
        raise malformed(url, form) from None
    return unquote(parts.path), limit_bytes


def malformed(url: str, form: str) -> ConfigError:
    """Make the error for a ``url`` that should look like ``form``."""
    return ConfigError(f"store URL {masked(url)!r} is malformed: write {form}")
