"""Defines the settings, and reads them from their sources."""

from kvtransfer.config.settings import TransferConfig

__all__ = ["TransferConfig"]
