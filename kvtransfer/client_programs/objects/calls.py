"""Executes what a store asks of a bucket, over the memory of one channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kvtransfer.client_programs.objects.at_once import each
from kvtransfer.client_programs.objects.reading import read_into

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence

    from kvtransfer.client_programs.objects.bucket import Bucket, Found

    Told = list[object] | None
    """What is told of an object: path, bytes and when it was written; None where there is none."""


class BucketCalls:
    """Calls on ``bucket``, each a coroutine; bytes come from ``memory``, or go there.

    Every call raises :class:`kvtransfer.client_programs.objects.causes.BucketError`.
    """

    def __init__(self, bucket: Bucket, memory: memoryview) -> None:
        self._bucket = bucket
        self._memory = memory
        self._pages: AsyncIterator[Sequence[Found]] | None = None

    def begin(self, name: str, arguments: Mapping[str, Any]) -> Coroutine[Any, Any, object]:
        """Begin the call of that name."""
        calls: dict[str, Callable[..., Coroutine[Any, Any, object]]] = {
            "ready": self.ready,
            "heads": self.heads,
            "headers": self.headers,
            "read": self.read,
            "write": self.write,
            "create": self.create,
            "renew": self.renew,
            "remove": self.remove,
            "first_page": self.first_page,
            "next_page": self.next_page,
        }
        return calls[name](**arguments)

    async def ready(self) -> None:
        """Nothing but an answer."""

    async def heads(self, paths: Sequence[str]) -> list[Told]:
        """Say what the server knows of objects."""
        return [_told(found) for found in await each(self._bucket.head, paths)]

    async def headers(self, paths: Sequence[str], nbytes: int) -> list[Told]:
        """Read the first ``nbytes`` of objects, as far as they have them, one after the other."""

        async def header(numbered: tuple[int, str]) -> Told:
            index, path = numbered
            arriving = await self._bucket.read(path, 0, nbytes)
            if arriving is None:
                return None
            content = await arriving.content()
            self._memory[index * nbytes :][: len(content)] = content
            return _told(arriving.found)

        return await each(header, list(enumerate(paths)))

    async def read(self, path: str, begin: int, room_bytes: int, first_bytes: int) -> Told:
        """Read an object to ``begin`` in memory, if it has ``room_bytes`` at most."""
        room = self._memory[begin : begin + room_bytes]
        return _told(await read_into(self._bucket, path, room, first_bytes))

    async def write(self, path: str, begin: int, nbytes: int) -> None:
        """Write an object of the bytes at ``begin`` in memory over what is there."""
        await self._bucket.write(path, self._memory[begin : begin + nbytes])

    async def create(self, path: str, begin: int, nbytes: int) -> bool:
        """Write such an object if there is none; False where there is one."""
        return await self._bucket.create(path, self._memory[begin : begin + nbytes])

    async def renew(self, path: str) -> None:
        """Make an object as new."""
        await self._bucket.renew(path)

    async def remove(self, paths: Sequence[str]) -> None:
        """Remove objects that are there."""
        await each(self._bucket.remove, paths)

    async def first_page(self) -> list[Told] | None:
        """Begin to list all objects, and return the first page; None where there is none."""
        self._pages = self._bucket.pages()
        return await self.next_page()

    async def next_page(self) -> list[Told] | None:
        """Return the page after the one before; None after the last one."""
        page = None if self._pages is None else await anext(self._pages, None)
        return None if page is None else [_told(found) for found in page]


def _told(found: Found | None) -> Told:
    return None if found is None else [found.path, found.nbytes, found.modified.timestamp()]
