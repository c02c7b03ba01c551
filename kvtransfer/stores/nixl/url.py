"""Reads store URLs such as ``nixl://posix/mnt/nvme/chunks?max_gib=100``."""

from __future__ import annotations

from urllib.parse import urlsplit

from kvtransfer.errors import ConfigError
from kvtransfer.stores.disk.url import folder_and_limit
from kvtransfer.urls import masked

_FORM = "nixl://posix/path or nixl://posix/path?max_gib=100"


def read_nixl_url(url: str) -> tuple[str, int | None]:
    """Return the folder, and the bytes that it may hold; None where the URL sets no limit.

    Raises:
        ConfigError: the URL is malformed, or names another plugin of NIXL than POSIX.
    """
    parts = urlsplit(url)
    if parts.netloc != "posix":
        raise ConfigError(
            f"store URL {masked(url)!r} names no plugin of NIXL that is supported, and posix is the "
            f"only one: write {_FORM}"
        )
    return folder_and_limit(url, parts, _FORM)
