"""Reads the URL of the remote store: its scheme must be known, LMCache's forms are translated."""

from __future__ import annotations

from pydantic_core import PydanticCustomError

from kvtransfer.scheme_aliases import without_alias
from kvtransfer.store_plugins import store_plugins

_SCHEMES = (
    "redis://", "rediss://", "unix://", "redis-sentinel://", "rediss-sentinel://",
    "redis-cluster://", "rediss-cluster://", "embedded://", "disk://", "file://", "nixl://",
    "mooncake://", "infinistore://", "s3://", "gs://", "az://", "memory://",
)  # fmt: skip


def store_url(url: str) -> str:
    """``url`` with the scheme that the stores know.

    Raises:
        ValueError: the scheme is unknown.
        PydanticCustomError: the hosts are malformed.
        ConfigError: two installed packages bring a store for one scheme.
    """
    url = without_alias(url)
    if not url.startswith((*_SCHEMES, *_plugged())):
        raise ValueError(
            "write redis://host:6379/0, rediss://host:6379/0, unix:///path/to/socket, "
            "redis-sentinel://host:26379/service, redis-cluster://host:6379, embedded://, "
            "disk:///path, file:///mnt/share, nixl://posix/path, mooncake://host:50051, "
            "infinistore://host:12345, s3://bucket/prefix, gs://bucket/prefix, "
            "az://container/prefix?account=name or memory://"
        )
    _check_hosts(url)
    return url


def _plugged() -> list[str]:
    return [f"{scheme}://" for scheme in store_plugins()]


def _check_hosts(url: str) -> None:
    """Refuse hosts in LMCache's form that would be malformed here."""
    scheme, _, rest = url.partition("://")
    hosts, _, service = rest.rpartition("@")[2].partition("/")
    if scheme.endswith("-sentinel") and not service.partition("?")[0]:
        raise PydanticCustomError(
            "url",
            "{scheme}://host:26379/mymaster, with the name of the master at its end",
            {"scheme": scheme},
        )
    if scheme in ("redis", "rediss") and "," in hosts:
        raise PydanticCustomError(
            "url",
            "of one host; write {scheme}-cluster://host1:6379,host2:6379 for a cluster",
            {"scheme": scheme},
        )
