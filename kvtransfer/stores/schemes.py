"""Lists the kinds of stores by the scheme of their URLs; a new store is one row and one module.

Other packages bring more, as entry points (:mod:`kvtransfer.store_plugins`).

A store's class is a :class:`kvtransfer.stores.interface.Store`. Its ``open`` takes the URL, and its
``check`` refuses a malformed one early. A module is imported when a URL names its scheme.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

from kvtransfer.errors import ConfigError
from kvtransfer.scheme_aliases import is_alias, without_alias
from kvtransfer.store_plugins import store_plugins
from kvtransfer.stores.plugged_scheme import PluggedScheme
from kvtransfer.urls import masked

if TYPE_CHECKING:
    from kvtransfer.stores.interface import Store


@dataclass(frozen=True)
class Scheme:
    """One kind of store URL."""

    name: str
    """The scheme, which stands before ``://``."""
    module: str
    """The module of the store's class, below ``kvtransfer.stores``."""
    class_name: str
    example: str
    """A URL for messages; empty where another row's example is enough."""
    is_redis_server: bool = False
    """Whether the URL names a Redis server that an operator runs."""

    def store_class(self) -> type[Store]:
        """Import the class of the store."""
        module = import_module(f"kvtransfer.stores.{self.module}")
        return cast("type[Store]", getattr(module, self.class_name))


def _redis(name: str, example: str = "") -> Scheme:
    return Scheme(name, "redis.store", "RedisStore", example, is_redis_server=True)


def _objects(name: str, example: str) -> Scheme:
    return Scheme(name, "objects.store", "ObjectStore", example)


_TABLE = (
    _redis("redis", "redis://host:6379/0"),
    _redis("rediss", "rediss://host:6379/0"),
    _redis("unix", "unix:///path/to/socket"),
    _redis("redis-sentinel", "redis-sentinel://host:26379/service"),
    _redis("rediss-sentinel"),
    _redis("redis-cluster", "redis-cluster://host:6379"),
    _redis("rediss-cluster"),
    Scheme("embedded", "embedded.store", "EmbeddedStore", "embedded://"),
    Scheme("disk", "disk.store", "DiskStore", "disk:///path"),
    Scheme("file", "disk.store", "DiskStore", "file:///mnt/share"),
    Scheme("nixl", "nixl.store", "NixlStore", "nixl://posix/path"),
    Scheme("mooncake", "mooncake.store", "MooncakeStore", "mooncake://host:50051"),
    Scheme("infinistore", "infinistore.store", "InfiniStore", "infinistore://host:12345"),
    _objects("s3", "s3://bucket/prefix"),
    _objects("gs", "gs://bucket/prefix"),
    _objects("az", "az://container/prefix?account=name"),
    Scheme("memory", "memory", "MemoryStore", "memory://"),
)
SCHEMES = {scheme.name: scheme for scheme in _TABLE}


def scheme_of(url: str) -> Scheme | PluggedScheme:
    """Find the row of ``url``, or the plugin that brings its store.

    Raises:
        ConfigError: the URL names no known store; the message shows examples of all. Or a plugin
            claims a scheme that another one has, or this package.
    """
    name, separator, _ = without_alias(url).partition("://")
    plugins = store_plugins()
    for plugin in plugins.values():
        if plugin.scheme in SCHEMES or is_alias(plugin.scheme):
            raise plugin.broken("takes a scheme of kvtransfer's own")
    if separator and name in SCHEMES:
        return SCHEMES[name]
    if separator and name in plugins:
        return PluggedScheme(plugins[name])
    raise unknown_store(url)


def unknown_store(url: str) -> ConfigError:
    """Make the error for a ``url`` that names no store."""
    *examples, last = [
        *(scheme.example for scheme in _TABLE if scheme.example),
        *(f"{scheme}://" for scheme in store_plugins()),
    ]
    return ConfigError(f"no store at {masked(url)!r}: write {', '.join(examples)} or {last}")
