"""The entries of a store of NIXL, reached as files."""

from __future__ import annotations

from kvtransfer.stores.nixl.file_io import NixlIO
from kvtransfer.stores.nixl.store import NixlStore
from tests.stores.disk.disk_backing import DiskBacking


class NixlBacking(DiskBacking):
    def entries(self, settings):
        return NixlStore(str(self.root), settings, io=NixlIO(), clock=lambda: self.now_s)
