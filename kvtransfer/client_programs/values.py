"""Takes the calls of a channel for a client that holds values by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ValueChannel(ABC):
    """Executes calls of one channel; values lie at ``begins`` in its memory, ``sizes`` bytes each.

    Every method returns one number for each name, and a negative one is an error of the client's.
    """

    def answer(self, request: Mapping[str, Any]) -> list[int]:
        """See :class:`kvtransfer.client_programs.serving.ChannelClient`."""
        names, begins, sizes = request["names"], request["begins"], request["sizes"]
        match request["call"]:
            case "exist":
                return self.exist(names)
            case "lengths":
                return self.lengths(names, sizes)
            case "read":
                return self.read(names, begins, sizes)
            case "write":
                return self.write(names, begins, sizes)
            case _:
                return self.remove(names)

    @abstractmethod
    def exist(self, names: Sequence[str]) -> list[int]:
        """Return 1 for each value that is there, and 0 for each that isn't."""

    @abstractmethod
    def lengths(self, names: Sequence[str], sizes: Sequence[int]) -> list[int]:
        """Return how long values are; a client that can't tell returns the size that is expected."""

    @abstractmethod
    def read(self, names: Sequence[str], begins: Sequence[int], sizes: Sequence[int]) -> list[int]:
        """Fill memory with values, for each of which there is room for ``sizes``; return lengths."""

    @abstractmethod
    def write(self, names: Sequence[str], begins: Sequence[int], sizes: Sequence[int]) -> list[int]:
        """Hold values, in place of what is there; return 0 for each that is held."""

    @abstractmethod
    def remove(self, names: Sequence[str]) -> list[int]:
        """Remove values; return 0 for each that was there."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the channel's memory."""
