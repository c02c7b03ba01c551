"""Makes a scheme of a store that another package brings, once it is known to be one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from kvtransfer.stores.interface import Store

if TYPE_CHECKING:
    from kvtransfer.store_plugins import StorePlugin

_NEEDED = ("open", "contains", "get_into", "put", "entries", "stat", "remove", "close")


@dataclass(frozen=True)
class PluggedScheme:
    """One kind of store URL, whose store ``plugin`` brings."""

    plugin: StorePlugin
    is_redis_server = False
    """See :class:`kvtransfer.stores.schemes.Scheme`."""

    def store_class(self) -> type[Store]:
        """Import the class of the store.

        Raises:
            ConfigError: it can't be imported, or isn't a whole :class:`Store`.
        """
        loaded = self.plugin.load()
        if not isinstance(loaded, type) or Store not in loaded.__mro__:
            raise self.plugin.broken("is no subclass of kvtransfer.stores.Store")
        store_class = cast("type[Store]", loaded)
        missing = [name for name in _NEEDED if _is_left_out(store_class, name)]
        if missing:
            raise self.plugin.broken(f"doesn't define {', '.join(missing)}")
        return store_class


def _is_left_out(store_class: type[Store], name: str) -> bool:
    defining = next(each for each in store_class.__mro__ if name in vars(each))
    return defining is Store
