"""Shows an engine's paged tensors as planes: strided views that make all layouts look alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from kvtransfer.chunks.cpu_pages import amx_planes, transposed_planes
from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.errors import ConfigError
from kvtransfer.kernels.reference import plane_shape

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class PagedCaches:
    """Views the caller's paged tensors as strided planes, one way for every engine's layout.

    The tensors stay the caller's: the views keep them alive and never copy them. All layers have
    one shape, one dtype (floats of 32, 16 or 8 bits, or 8-bit integers) and one device.

    A plane is ``[kernel_blocks, kernel_block_tokens, heads, dim]``: the keys, the values or the
    content of one layer; tokens and dim may each be cut in two (``kernels/reference.py``). The
    engine's block manager may count in larger blocks than its attention kernel: then one of the
    manager's blocks is several of the kernel's, one after the other.

    Every constructor takes ``chunk_tokens``, the tokens of a chunk, and most take
    ``block_tokens``, the tokens of the manager's block (None: those of the kernel's). A chunk must
    be a multiple of the manager's block, and that of the kernel's. Each constructor raises
    ``ConfigError`` for tensors or sizes that don't fit; its message names them.
    """

    planes: tuple[Tensor, ...]
    """The planes in the order of ``chunk``: layer by layer, keys before values."""
    chunk: ChunkFormat
    """The format of the chunks that are copied out of these caches."""
    block_tokens: int
    """Tokens in one of the manager's blocks."""

    @classmethod
    def split(
        cls, caches: Sequence[Tensor], chunk_tokens: int, block_tokens: int | None = None
    ) -> PagedCaches:
        """View one tensor a layer, ``[blocks, heads, tokens, 2 * dim]``.

        The first ``dim`` elements of a token and head are its key, the others its value.

        The dimensions may have any order in memory, pages may have padding between them, and
        layers may share memory.
        """
        halves = [half for cache in _distinct(caches) for half in cache.chunk(2, dim=-1)]
        return cls._cut([half.transpose(1, 2) for half in halves], 2, chunk_tokens, block_tokens)

    @classmethod
    def cpu_attention(
        cls, caches: Sequence[Tensor], chunk_tokens: int, block_tokens: int | None = None
    ) -> PagedCaches:
        """View one tensor of vLLM's CPU attention a layer, ``[blocks, heads, tokens, 2 * dim]``.

        The shape doesn't say how it is filled: the page of a block and head holds the keys
        transposed, ``[dim, tokens]``, and then the values, ``[tokens, dim]``
        (``vllm/v1/attention/backends/cpu_attn.py``). A page must be contiguous.
        """
        planes = [plane for cache in _distinct(caches) for plane in transposed_planes(cache)]
        return cls._cut(planes, 2, chunk_tokens, block_tokens)

    @classmethod
    def cpu_attention_amx(
        cls, caches: Sequence[Tensor], chunk_tokens: int, block_tokens: int | None = None
    ) -> PagedCaches:
        """View tensors as in ``cpu_attention``, but of vLLM on a processor with AMX.

        There the page of a block and head holds the keys as ``[tokens / 16, dim / 2, 16, 2]`` and
        then the values as ``[dim / 16, tokens / 2, 16, 2]``. A page must be contiguous, its numbers
        bfloat16, and ``tokens`` and ``dim`` multiples of 16.
        """
        planes = [plane for cache in _distinct(caches) for plane in amx_planes(cache)]
        return cls._cut(planes, 2, chunk_tokens, block_tokens)

    @classmethod
    def content(
        cls, caches: Sequence[Tensor], chunk_tokens: int, block_tokens: int | None = None
    ) -> PagedCaches:
        """View one tensor a layer, ``[blocks, heads, tokens, content]``, with any content, as of MLA."""
        planes = [cache.transpose(1, 2) for cache in _distinct(caches)]
        return cls._cut(planes, 1, chunk_tokens, block_tokens)

    @classmethod
    def keys_and_values(
        cls, keys: Sequence[Tensor], values: Sequence[Tensor], chunk_tokens: int
    ) -> PagedCaches:
        """View two tensors a layer, ``[blocks, tokens, heads, dim]``: ``keys[i]`` and ``values[i]``."""
        if len(keys) != len(values):
            raise ConfigError(f"{len(keys)} layers of keys but {len(values)} of values")
        for cache in (*keys, *values):
            _check_paged(cache)
        planes = [plane for pair in zip(keys, values, strict=True) for plane in pair]
        return cls._cut(planes, 2, chunk_tokens, None)

    @property
    def blocks(self) -> int:
        """How many blocks the manager has."""
        kernel_blocks, kernel_tokens, _, _ = plane_shape(self.planes[0])
        return kernel_blocks * kernel_tokens // self.block_tokens

    @property
    def block_bytes(self) -> int:
        """Bytes in one of the kernel's blocks, summed over all planes."""
        plane = self.planes[0]
        return plane[0].numel() * plane.element_size() * len(self.planes)

    @property
    def manager_block_bytes(self) -> int:
        """Bytes in one of the manager's blocks, summed over all planes."""
        return self.chunk.nbytes * self.block_tokens // self.chunk.tokens

    @property
    def page_bytes(self) -> int:
        """Bytes in one of the kernel's blocks of one plane; 0 if it is not contiguous in memory."""
        page = self.planes[0][0]
        return page.nbytes if page.is_contiguous() else 0

    def kernel_blocks(self, block_ids: Sequence[int]) -> list[int]:
        """Return the kernel's blocks that make up the manager's ``block_ids``, in order."""
        ratio = self.block_tokens // plane_shape(self.planes[0])[1]
        return [block * ratio + i for block in block_ids for i in range(ratio)]

    @classmethod
    def _cut(
        cls, planes: list[Tensor], per_layer: int, chunk_tokens: int, block_tokens: int | None
    ) -> PagedCaches:
        if not planes:
            raise ConfigError("there are no caches; pass one tensor a layer")
        _check_alike(planes)
        _, kernel_tokens, heads, dim = plane_shape(planes[0])
        block_tokens = kernel_tokens if block_tokens is None else block_tokens
        for name, tokens in (("block_tokens", block_tokens), ("chunk_tokens", chunk_tokens)):
            if type(tokens) is not int:
                raise ConfigError(f"{name}={tokens!r} must be a whole number of tokens")
        for large, small, names in (
            (block_tokens, kernel_tokens, "block_tokens={} is no multiple of the kernel's {}"),
            (chunk_tokens, block_tokens, "chunk_tokens={} is no multiple of block_tokens={}"),
        ):
            if large <= 0 or large % small:
                raise ConfigError(names.format(large, small))
        dtype = str(planes[0].dtype).removeprefix("torch.")
        form = ChunkFormat.split if per_layer == 2 else ChunkFormat.content
        chunk = form(dtype, len(planes) // per_layer, chunk_tokens, heads, dim)
        return cls(tuple(planes), chunk, block_tokens)


def _distinct(caches: Sequence[Tensor]) -> list[Tensor]:
    """Leave out layers that are only another name for one that came before."""
    for cache in caches:
        _check_paged(cache)
    return list({(cache.data_ptr(), cache.stride()): cache for cache in caches}.values())


def _check_paged(cache: object) -> None:
    """Refuse what no plane can be cut from: four dimensions, none of them empty."""
    if not isinstance(cache, Tensor):
        raise ConfigError(f"a layer's cache is a {type(cache).__name__}; pass a tensor")
    if cache.dim() != 4 or not cache.numel():
        raise ConfigError(
            f"a layer's cache is {list(cache.shape)}; pass four dimensions, none of them empty"
            f"{_four_of(cache)}"
        )


def _four_of(cache: Tensor) -> str:
    """Say how to get four dimensions from the usual shapes of other engines."""
    if cache.dim() == 5 and 2 in cache.shape[:2]:
        keys, values = ("[0]", "[1]") if cache.shape[0] == 2 else ("[:, 0]", "[:, 1]")
        return (
            f": the keys, cache{keys}, and the values, cache{values}, of each layer go to "
            "PagedCaches.keys_and_values"
        )
    if cache.dim() == 3:
        return ": [blocks, tokens, content] goes to PagedCaches.content as cache.unsqueeze(1)"
    return ""


def _check_alike(planes: list[Tensor]) -> None:
    for name, kinds in (
        ("shapes", {plane_shape(plane) for plane in planes}),
        ("dtypes", {plane.dtype for plane in planes}),
        ("devices", {plane.device for plane in planes}),
    ):
        if len(kinds) > 1:
            raise ConfigError(
                f"layers with different {name} are not supported: {sorted(map(str, kinds))}"
            )
