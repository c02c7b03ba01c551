"""Runs the client of Mooncake Store: ``python -m kvtransfer.client_programs.mooncake``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kvtransfer.client_programs.serving import serve
from kvtransfer.client_programs.values import ValueChannel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mooncake.store import MooncakeDistributedStore

# What the client copies through when it isn't given memory, which it always is here.
_OWN_BUFFER_BYTES = 1 << 20


class MooncakeClient:
    """Has joined the master that ``settings`` name, with the memory that they contribute.

    Python's lock is held while it waits for the master.

    Raises:
        ImportError: the client isn't installed, or a library of the system is missing.
        OSError: it can't join.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        from mooncake.store import MooncakeDistributedStore

        self._store = MooncakeDistributedStore()
        code = self._store.setup(
            settings["hostname"],
            settings["metadata_server"],
            settings["segment_bytes"],
            _OWN_BUFFER_BYTES,
            settings["protocol"],
            settings["device"],
            settings["master"],
        )
        if code != 0:
            raise OSError(f"it can't join the master at {settings['master']} ({code})")

    def open_channel(self, address: int, nbytes: int) -> MooncakeChannel:
        """See :class:`kvtransfer.client_programs.serving.JoinedClient`."""
        return MooncakeChannel(self._store, address, nbytes)

    def close(self) -> None:
        """See :class:`kvtransfer.client_programs.serving.JoinedClient`."""
        self._store.close()


class MooncakeChannel(ValueChannel):
    """See :class:`ValueChannel`; memory is registered once."""

    def __init__(self, store: MooncakeDistributedStore, address: int, nbytes: int) -> None:
        self._store = store
        self._address = address
        code = store.register_buffer(address, nbytes)
        if code != 0:
            raise OSError(f"can't register {nbytes} bytes: {code}")

    def exist(self, names: Sequence[str]) -> list[int]:
        """See :class:`ValueChannel`."""
        return list(self._store.batch_is_exist(names))

    def lengths(self, names: Sequence[str], sizes: Sequence[int]) -> list[int]:
        """See :class:`ValueChannel`."""
        del sizes
        return [self._store.get_size(name) for name in names]

    def read(self, names: Sequence[str], begins: Sequence[int], sizes: Sequence[int]) -> list[int]:
        """See :class:`ValueChannel`."""
        return list(self._store.batch_get_into(names, self._addresses(begins), sizes))

    def write(self, names: Sequence[str], begins: Sequence[int], sizes: Sequence[int]) -> list[int]:
        """See :class:`ValueChannel`."""
        return list(self._store.batch_upsert_from(names, self._addresses(begins), sizes))

    def remove(self, names: Sequence[str]) -> list[int]:
        """See :class:`ValueChannel`.

        By force: otherwise what was read lately stays until its lease ends.
        """
        return list(self._store.batch_remove(names, True))

    def close(self) -> None:
        """See :class:`ValueChannel`."""
        self._store.unregister_buffer(self._address)

    def _addresses(self, begins: Sequence[int]) -> list[int]:
        return [self._address + begin for begin in begins]


if __name__ == "__main__":
    serve(MooncakeClient)
