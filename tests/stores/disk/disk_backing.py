"""The entries of a disk store, reached as files."""

from __future__ import annotations

import json
import os

from kvtransfer.stores.disk.file.direct_io import SECTOR_BYTES, padded
from kvtransfer.stores.disk.file.record_sector import _MAGIC
from kvtransfer.stores.disk.store import DiskStore
from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.testing import CHUNK


class DiskBacking:
    def __init__(self, root, limit_bytes=None):
        self.root = root
        self.now_s = 1_700_000_000.0
        self._limit_bytes = limit_bytes

    def open(self, chunk, settings):
        return FormattedStore(self.entries(settings), chunk)

    def entries(self, settings):
        return DiskStore(
            str(self.root),
            settings,
            limit_bytes=self._limit_bytes,
            clock=lambda: self.now_s,
        )

    def path(self, key):
        owner, _, chunk_hash = key.replace("/", "%2F").rpartition("@")
        return self.root / owner / chunk_hash[:2] / f"{chunk_hash}.kv"

    def payload(self, key):
        blocks, _ = self._halves(key)
        return None if blocks is None else blocks[: CHUNK.nbytes]

    def fields(self, key):
        record = self._halves(key)[1]
        if record is None:
            return None
        return json.loads(record.removeprefix(_MAGIC).rstrip(b"\0"))

    def set_payload(self, key, payload):
        self._write(key, _blocks(payload), self._halves(key)[1])

    def set_fields(self, key, fields):
        record = None
        if fields is not None:
            text = _MAGIC + json.dumps(fields).encode()
            record = text.ljust(SECTOR_BYTES, b"\0")
        self._write(key, self._halves(key)[0], record)

    def elapse(self, seconds):
        self.now_s += seconds

    def _halves(self, key):
        try:
            found = self.path(key).read_bytes()
        except FileNotFoundError:
            return None, None
        blocks, last = found[:-SECTOR_BYTES], found[-SECTOR_BYTES:]
        return (blocks, last) if last.startswith(_MAGIC) else (found, None)

    def _write(self, key, blocks, record):
        """Replaced at once, as a writer does it; a half that is None is missing from the file."""
        path = self.path(key)
        whole = (blocks or b"") + (record or b"")
        if not whole:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.urandom(4).hex()}")
        beside.write_bytes(whole)
        os.utime(beside, (self.now_s, self.now_s))
        beside.rename(path)


def _blocks(payload):
    """A payload of the right length is padded; one of another makes the file too long or short."""
    if payload is None or len(payload) != CHUNK.nbytes:
        return payload
    return payload.ljust(padded(CHUNK.nbytes), b"\0")
