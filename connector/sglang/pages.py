"""Shows the pages of SGLang's host pools as memory that a store reads and fills.

SGLang keeps a page as one or a few contiguous parts in the layouts ``page_first`` and
``page_first_direct``: each is an entry of a store, filled and read where it lies. Of a page that is
scattered over a part for each layer a copy is stored, as one entry.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import torch

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Get: TypeAlias = Callable[[int, memoryview], bool]
    """Fills the memory of the part of this number; False: it is a miss."""
    Put: TypeAlias = Callable[[int, memoryview], bool]
    """Stores the memory of the part of this number; False: it isn't stored."""

MOST_PARTS = 8
"""A page of more parts is stored as a copy: small entries take a store longer than a copy does."""
# What a host pool raises for a layout that it has no addresses for.
_UNSUPPORTED = (AssertionError, AttributeError, NotImplementedError, ValueError)


class Pages(Protocol):
    """The pages of one host pool; its methods may run on several threads, each on other pages."""

    @property
    def part_bytes(self) -> tuple[int, ...]:
        """Bytes of each part of a page."""

    def fill(self, indices: torch.Tensor, get: Get) -> bool:
        """Let ``get`` fill the page; False: it failed, and the page's content is undefined.

        Args:
            indices: where the tokens of the page lie in the pool, int64 on the CPU.
            get: is called with each part until it returns False.
        """

    def put(self, indices: torch.Tensor, put: Put) -> bool:
        """Let ``put`` store the page at ``indices``; False: a part isn't stored."""


class PagesInPlace:
    """Implements :class:`Pages` where a page has a few parts, at addresses that the pool tells."""

    def __init__(self, pool: Any, part_bytes: tuple[int, ...]) -> None:
        self._pool = pool
        self.part_bytes = part_bytes

    def fill(self, indices: torch.Tensor, get: Get) -> bool:
        """See :class:`Pages`."""
        return all(get(part, memory) for part, memory in enumerate(self._parts(indices)))

    def put(self, indices: torch.Tensor, put: Put) -> bool:
        """See :class:`Pages`."""
        return all(put(part, memory) for part, memory in enumerate(self._parts(indices)))

    def _parts(self, indices: torch.Tensor) -> list[memoryview]:
        addresses, sizes = parts_of(self._pool, indices)
        if sizes != self.part_bytes:
            raise ValueError(f"a page with parts of {sizes} bytes, not {self.part_bytes}")
        return [
            memoryview((ctypes.c_char * nbytes).from_address(address)).cast("B")
            for address, nbytes in zip(addresses, sizes, strict=True)
        ]


class CopiedPages:
    """Implements :class:`Pages` by a contiguous copy of each page, which is one part."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self.part_bytes = (len(_bytes_of(pool.get_dummy_flat_data_page())),)

    def fill(self, indices: torch.Tensor, get: Get) -> bool:
        """See :class:`Pages`."""
        page = self._pool.get_dummy_flat_data_page()
        if not get(0, _bytes_of(page)):
            return False
        self._pool.set_from_flat_data_page(int(indices[0]), page)
        return True

    def put(self, indices: torch.Tensor, put: Put) -> bool:
        """See :class:`Pages`."""
        page = self._pool.get_data_page(int(indices[0]), flat=True)
        return put(0, _bytes_of(page.contiguous()))


def pages_of(name: str, pool: Any) -> Pages:
    """Find out how the pages of SGLang's host pool ``pool`` are stored.

    Raises:
        ConfigError: its pages can't be stored; the message names the pool.
    """
    if getattr(pool, "shard_size", 1) > 1:
        raise ConfigError(
            f"the host pool {name} is interleaved over {pool.shard_size} ranks, which isn't "
            "supported; start SGLang without that or without this storage"
        )
    try:
        _, sizes = parts_of(pool, torch.arange(pool.page_size))
        if len(sizes) <= MOST_PARTS:
            return PagesInPlace(pool, sizes)
    except _UNSUPPORTED:
        pass
    try:
        return CopiedPages(pool)
    except _UNSUPPORTED as error:
        raise ConfigError(
            f"the host pool {name} ({type(pool).__name__}) gives out no pages to store: {error}"
        ) from None


def parts_of(pool: Any, indices: torch.Tensor) -> tuple[Sequence[int], tuple[int, ...]]:
    """Return the addresses and lengths, in bytes, of the parts of the page at ``indices``.

    A pool without memory of its own, whose pages only stand for those of other pools, has none.
    """
    found = pool.get_page_buffer_meta(indices)
    if found is None:
        return (), ()
    addresses, sizes = found
    return addresses, (sizes,) * len(addresses) if isinstance(sizes, int) else tuple(sizes)


def _bytes_of(page: torch.Tensor) -> memoryview:
    return page.view(torch.uint8).numpy().data
