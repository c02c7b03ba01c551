"""What an operator sets, and where it is read."""

from kvtransfer.config.settings import TransferConfig

__all__ = ["TransferConfig"]
