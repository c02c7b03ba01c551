"""The settings, and the sources that they are read from."""

from kvtransfer.config.settings import TransferConfig

__all__ = ["TransferConfig"]
