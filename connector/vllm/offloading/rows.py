"""Gives out the rows of vLLM's host memory, one after another, as flat bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.chunks.layout import ChunkFormat

if TYPE_CHECKING:
    from vllm.v1.kv_offload.config import OffloadingConfig

# What tells floating-point numbers apart, which a lossless codec makes shorter.
_ELEMENT_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}


class Rows:
    """The rows of ``view``, which stays vLLM's: ``[chunks, bytes]``, of one byte an element.

    vLLM can't give the memory back before ``release``.
    """

    def __init__(self, view: memoryview) -> None:
        self.count, self.row_bytes = view.shape or (0, 0)
        self._flat = view.cast("B")

    def __getitem__(self, chunk_id: int) -> memoryview:
        """Row number ``chunk_id``, to be released by the caller."""
        begin = int(chunk_id) * self.row_bytes
        return self._flat[begin : begin + self.row_bytes]

    def release(self) -> None:
        """Let go of the memory; no row may be in use."""
        self._flat.release()


def row_format(offloading: OffloadingConfig, row_bytes: int) -> ChunkFormat:
    """Return the format of every row: numbers of the cache's dtype, as far as that is known."""
    dtype = offloading.model.dtype
    if dtype not in _ELEMENT_BYTES:
        dtype = "uint8"
    tokens = max(group.tokens_per_block for group in offloading.groups)
    shape = (row_bytes // _ELEMENT_BYTES.get(dtype, 1),)
    chunk_tokens = tokens * offloading.cache.blocks_per_chunk
    return ChunkFormat("row", dtype, shape, chunk_tokens, row_bytes)
