"""Finds the stores that other packages bring, each as an entry point named after its URL scheme."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError
from kvtransfer.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.metadata import EntryPoint

GROUP = "kvtransfer.stores"
"""The group of entry points: the name is a scheme, the value is ``package.module:StoreClass``."""


@dataclass(frozen=True)
class StorePlugin:
    """One store that an installed package brings."""

    scheme: str
    """The scheme of its URLs, which stands before ``://``."""
    package: str
    """The distribution that brings it."""
    entry: EntryPoint

    def load(self) -> object:
        """Import what the entry point names.

        Raises:
            ConfigError: that fails, for whatever reason.
        """
        try:
            return self.entry.load()
        except Exception as error:  # noqa: BLE001 - it is code of others
            cause = printable(f"{type(error).__name__}: {error}")
            raise self.broken(f"can't be imported ({cause})") from None

    def broken(self, what: str) -> ConfigError:
        """Make the error for a plugin that is not a store; ``what`` says why."""
        return ConfigError(
            f"the store {self.entry.value} for {self.scheme}:// {what}: mend or uninstall "
            f"the package {self.package}"
        )


def store_plugins() -> Mapping[str, StorePlugin]:
    """Return all plugins by scheme; none is imported.

    Raises:
        ConfigError: two packages bring a store for one scheme.
    """
    return _found(tuple(sys.path))


@cache
def _found(path: tuple[str, ...]) -> Mapping[str, StorePlugin]:
    """Read the metadata of all packages on ``path``, which is that of this process."""
    del path
    found: dict[str, StorePlugin] = {}
    for entry in entry_points(group=GROUP):
        package = entry.dist.name if entry.dist else "of no name"
        plugin = StorePlugin(entry.name, package, entry)
        other = found.setdefault(entry.name, plugin)
        if other is not plugin:
            raise ConfigError(
                f"the packages {other.package} and {package} both bring a store for "
                f"{entry.name}://: uninstall one of them"
            )
    return found
