"""Keeps entries as the disk store does, in the same files, and moves their bytes by NIXL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.stores.disk.store import DiskStore
from kvtransfer.stores.feeds.folder import FolderFeed
from kvtransfer.stores.nixl.file_io import NixlIO
from kvtransfer.stores.nixl.library import nixl_api
from kvtransfer.stores.nixl.url import read_nixl_url

if TYPE_CHECKING:
    from kvtransfer.stores.settings import StoreSettings


class NixlStore(DiskStore):
    """Keeps entries under the folder of ``nixl://posix/path?max_gib=100``.

    A ``disk:///path`` of the same folder holds the same entries.
    """

    @classmethod
    def open(cls, url: str, settings: StoreSettings) -> NixlStore:
        """See :class:`kvtransfer.stores.interface.Store`."""
        path, limit_bytes = read_nixl_url(url)
        io = NixlIO()
        try:
            return cls(path, settings, limit_bytes=limit_bytes, io=io, prefix="nixl://posix")
        except BaseException:
            io.close()
            raise

    @classmethod
    def check(cls, url: str, settings: StoreSettings) -> None:
        """See :class:`kvtransfer.stores.interface.Store`."""
        read_nixl_url(url)
        nixl_api()

    @classmethod
    def open_feed(cls, url: str, settings: StoreSettings) -> FolderFeed:
        """See :class:`kvtransfer.stores.interface.Store`."""
        return FolderFeed(read_nixl_url(url)[0])
