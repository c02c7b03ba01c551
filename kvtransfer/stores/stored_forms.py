"""Encodes the chunks of one store and decodes what it holds, and learns what that takes."""

from __future__ import annotations

import time
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from kvtransfer.stores.codec import NAIVE
from kvtransfer.stores.disk.file.direct_io import aligned_memory
from kvtransfer.stores.shortening import Shortening

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kvtransfer.chunks.layout import ChunkFormat
    from kvtransfer.metrics import Metrics
    from kvtransfer.stores.codec import Codec
    from kvtransfer.stores.shortening import Rate


class Stored(NamedTuple):
    """A chunk as it is to be stored."""

    format: str
    """Name of the codec."""
    payload: memoryview


class StoredForms:
    """Safe to use from several threads.

    Args:
        shorter: the codec that makes chunks shorter; None: they are stored as they are.
        is_chosen: whether chunks are made shorter only where they travel sooner then.
        reads: the codecs that can be read, by name.
        metrics: count chunks, bytes and processor seconds.
    """

    def __init__(
        self,
        shorter: Codec | None,
        reads: Mapping[str, Codec],
        metrics: Metrics,
        *,
        is_chosen: bool,
    ) -> None:
        self._shorter = shorter
        self._is_chosen = is_chosen
        self._reads = reads
        self._metrics = metrics
        self._line = Shortening()
        self._lock = Lock()

    def reader(self, name: str) -> Codec | None:
        """The codec that reads the format ``name``; None: it can't be read here."""
        return self._reads.get(name)

    @contextmanager
    def encoded(self, chunk: memoryview, form: ChunkFormat) -> Iterator[Stored]:
        """Choose a form for ``chunk`` and make it; it is valid inside the context."""
        with self._lock:
            is_trial = self._tries(form)
            codec = self._shorter if is_trial or self._shortens(form) else None
        if codec is None:
            yield Stored(NAIVE.name, chunk)
            return
        began_s = time.thread_time()
        with codec.encoded(chunk, form) as payload:
            self._note_encoded(len(chunk), payload, time.thread_time() - began_s)
            if payload is None:
                yield Stored(NAIVE.name, chunk)
                return
            if is_trial:
                self._try_decoding(codec, payload, form)
            yield Stored(codec.name, payload)

    def decode(self, codec: Codec, payload: memoryview, nbytes: int, form: ChunkFormat) -> bool:
        """Decode in place, see ``Codec``."""
        began_s = time.thread_time()
        is_decoded = codec.decode(payload, nbytes, form)
        if nbytes < len(payload):
            seconds = time.thread_time() - began_s
            self._metrics.add("decode_seconds", seconds)
            self._observe(self._line.decode_s, len(payload), seconds)
        return is_decoded

    def note_fetched(self, stored_bytes: int, seconds: float) -> None:
        """``stored_bytes`` came in ``seconds``."""
        self._observe(self._line.fetch_s, stored_bytes, seconds)

    def note_put(self, stored: Stored, chunk_bytes: int, seconds: float) -> None:
        """``stored``, the form of ``chunk_bytes``, was written in ``seconds``."""
        stored_bytes = len(stored.payload)
        self._observe(self._line.put_s, stored_bytes, seconds)
        if stored_bytes == chunk_bytes:
            self._metrics.add("put_uncompressed_chunks")
            return
        self._metrics.add("put_compressed_chunks")
        self._metrics.add("compressed_from_bytes", chunk_bytes)
        self._metrics.add("compressed_to_bytes", stored_bytes)

    def _tries(self, form: ChunkFormat) -> bool:
        return self._is_chosen and self._suits(form) and self._line.take_trial()

    def _shortens(self, form: ChunkFormat) -> bool:
        return self._suits(form) and (not self._is_chosen or self._line.decide())

    def _suits(self, form: ChunkFormat) -> bool:
        return self._shorter is not None and self._shorter.suits(form)

    def _note_encoded(self, chunk_bytes: int, payload: memoryview | None, seconds: float) -> None:
        self._metrics.add("encode_seconds", seconds)
        self._observe(self._line.encode_s, chunk_bytes, seconds)
        left_bytes = chunk_bytes if payload is None else len(payload)
        self._observe(self._line.share, chunk_bytes, left_bytes)

    def _try_decoding(self, codec: Codec, payload: memoryview, form: ChunkFormat) -> None:
        """Decode a copy, to see what that takes before the first fetch."""
        copy = aligned_memory(form.nbytes)
        copy[: len(payload)] = payload
        self.decode(codec, copy, len(payload), form)

    def _observe(self, rate: Rate, nbytes: int, amount: float) -> None:
        with self._lock:
            rate.observe(nbytes, amount)
