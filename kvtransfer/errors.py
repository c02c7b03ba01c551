"""Defines the exceptions that this package raises on purpose."""

from kvtransfer.printable import printable


class KVTransferError(Exception):
    """Base class of the exceptions that this package raises on purpose."""


class ConfigError(KVTransferError, ValueError):
    """A setting, URL, model or tensor is not supported; the message names it and the fix."""


class StoreError(KVTransferError):
    """A store failed to answer, which the serving path treats as a miss.

    The text may quote a server or a file, so control characters are escaped.
    """

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


class PartError(StoreError):
    """One part of a store failed, such as a cluster node; the rest may still work."""
