"""Every exception this package raises on purpose."""

from kvtransfer.printable import printable


class KVTransferError(Exception):
    """Base of all errors raised here."""


class ConfigError(KVTransferError, ValueError):
    """A setting, a URL or a model that we can't work with; the message names it and the fix."""


class StoreError(KVTransferError):
    """A store could not answer; on the serving path that is a miss.

    Its text may quote a server or a file, so it is made fit for a log.
    """

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


class PartError(StoreError):
    """A part of a store, or of what it does, failed, which says nothing about the rest of it."""
