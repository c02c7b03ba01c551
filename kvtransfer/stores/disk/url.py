"""Reads store URLs such as ``disk:///path?max_gib=100`` and ``file:///mnt/share``."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

from kvtransfer.errors import ConfigError


def read_disk_url(url: str) -> tuple[str, int | None]:
    """Return the folder, and the bytes that it may hold; None where the URL sets no limit.

    Raises:
        ConfigError: the URL is malformed.
    """
    scheme, _, _ = url.partition("://")
    parts = urlsplit(url)
    options = parse_qs(parts.query, keep_blank_values=True)
    sizes = options.pop("max_gib", [])
    try:
        if parts.netloc or len(parts.path) < 2 or options or len(sizes) > 1:
            raise ValueError(url)
        limit_bytes = int(float(sizes[0]) * 2**30) if sizes else None
    except (ValueError, OverflowError):
        raise ConfigError(
            f"store URL {url!r} is malformed: write {scheme}:///path or {scheme}:///path?max_gib=100"
        ) from None
    return unquote(parts.path), limit_bytes
