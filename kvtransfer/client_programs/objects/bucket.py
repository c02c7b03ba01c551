"""Asks for objects in a bucket, and sends them; what a server says of lengths is checked, never trusted."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from kvtransfer.client_programs.objects.causes import (
    BucketError,
    is_beyond_the_end,
    is_not_implemented,
    translated,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from obstore import GetOptions, GetResult, ObjectMeta

    from kvtransfer.client_programs.objects.client import Client

PART_BYTES = 8 << 20
"""Longest range that one request reads, and length of a part of a long upload."""
_PUT_AT_ONCE_BYTES = 2 * PART_BYTES
_PIECE_BYTES = 1 << 20
_PAGE = 1000
_NAME_CHARACTERS = 1024
"""Longest name of an object, in any of these services."""


@dataclass(frozen=True)
class Found:
    """What a server tells of an object."""

    path: str
    nbytes: int
    modified: datetime
    """When it was last written, by the server's clock."""
    etag: str | None
    """Another one after it was replaced by other bytes; None where the server tells none."""

    @classmethod
    def of(cls, meta: ObjectMeta) -> Found:
        """Take what is needed from obstore's description."""
        return cls(meta["path"], meta["size"], meta["last_modified"], meta["e_tag"])


class Arriving:
    """A part of an object whose bytes are on their way."""

    def __init__(self, found: Found, result: GetResult, nbytes: int) -> None:
        self.found = found
        """The whole object."""
        self._result = result
        self._nbytes = nbytes

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield as many bytes as were asked for, as far as the object has them.

        Raises:
            BucketError: the server sends more or fewer, or breaks off.
        """
        left_bytes = self._nbytes
        with translated():
            async for piece in self._result.stream(min_chunk_size=_PIECE_BYTES):
                left_bytes -= len(piece)
                if left_bytes < 0:
                    break
                yield piece
        if left_bytes:
            raise BucketError("it sent another number of bytes than it announced")

    async def content(self) -> bytes:
        """Return what ``pieces`` yields."""
        return b"".join([piece async for piece in self.pieces()])


class Bucket:
    """The bucket of ``client``; each method is a coroutine that raises :class:`BucketError`.

    Names of objects are below the prefix of ``client``. Safe to use from several event loops.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._creates = True
        """Whether the server can write an object on condition that there is none."""

    async def head(self, path: str) -> Found | None:
        """Return what the server knows of an object; None where there is none."""
        with translated(), suppress(FileNotFoundError):
            return Found.of(await obstore.head_async(self._client, path))
        return None

    async def read(
        self, path: str, begin: int, end: int, etag: str | None = None
    ) -> Arriving | None:
        """Begin to read bytes ``begin`` to ``end`` of an object, or up to its end.

        None is an object that isn't there, isn't ``etag`` any more, or ends before ``begin``.
        """
        options: GetOptions = {"range": (begin, end)}
        if etag is not None:
            options["if_match"] = etag
        with translated():
            result = await self._begun(path, options)
        if result is None:
            return None
        found = Found.of(result.meta)
        nbytes = min(end, found.nbytes) - begin
        return Arriving(found, result, nbytes) if nbytes > 0 else None

    async def write(self, path: str, content: memoryview) -> None:
        """Write an object over what is there; a long one in parts at once."""
        is_long = len(content) > _PUT_AT_ONCE_BYTES
        with translated():
            await obstore.put_async(
                self._client, path, content, use_multipart=is_long, chunk_size=PART_BYTES
            )

    async def create(self, path: str, content: memoryview) -> bool:
        """Write an object that isn't there yet; False where there is one.

        A long one, which is sent in parts, takes the place of what is there, and so does any where
        the server can't write on a condition.
        """
        if self._creates and len(content) <= _PUT_AT_ONCE_BYTES:
            with translated():
                is_created = await self._is_created(path, content)
            if is_created is not None:
                return is_created
            self._creates = False
        await self.write(path, content)
        return True

    async def renew(self, path: str) -> None:
        """Make an object as new: copied to another name and back, as no server copies in place."""
        beside = f"{path}.{uuid4().hex}.copy"
        with translated():
            await obstore.copy_async(self._client, path, beside)
            await obstore.copy_async(self._client, beside, path)
            await self._delete(beside)

    async def remove(self, path: str) -> None:
        """Remove an object, if it is there."""
        with translated():
            await self._delete(path)

    async def pages(self) -> AsyncIterator[Sequence[Found]]:
        """List all objects, page by page."""
        listing = obstore.list(self._client, chunk_size=_PAGE)
        with translated():
            async for page in listing:
                yield [Found.of(meta) for meta in page if len(meta["path"]) <= _NAME_CHARACTERS]

    async def _begun(self, path: str, options: GetOptions) -> GetResult | None:
        try:
            return await obstore.get_async(self._client, path, options=options)
        except PreconditionError:
            return None
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise
            return None
        except BaseError as error:
            if is_beyond_the_end(error):
                return None
            raise

    async def _is_created(self, path: str, content: memoryview) -> bool | None:
        """Write it if there is none; None where the server can't do that."""
        try:
            await obstore.put_async(self._client, path, content, mode="create")
        except AlreadyExistsError:
            return False
        except BaseError as error:
            if not is_not_implemented(error):
                raise
            return None
        return True

    async def _delete(self, path: str) -> None:
        with suppress(FileNotFoundError):  # some servers say so
            await obstore.delete_async(self._client, path)
