"""Opens both sides of a ``KVTransfer``: what decides, and what copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import EntryKeys, namespace
from kvtransfer.chunks.quantised import quantised_caches
from kvtransfer.chunks.tiling import Tiling
from kvtransfer.errors import ConfigError
from kvtransfer.scheduling.lookup.lookup import Lookup
from kvtransfer.scheduling.planner import Planner
from kvtransfer.stores.shelf import Shelf
from kvtransfer.worker.executor import Executor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kvtransfer.chunks.paged import PagedCaches
    from kvtransfer.config import TransferConfig
    from kvtransfer.kernels import Rotation


@dataclass(frozen=True)
class TransferParts:
    """Holds what a :class:`kvtransfer.KVTransfer` consists of, which owns and closes it."""

    planner: Planner
    lookup: Lookup | None
    """None: there is no store."""
    executor: Executor
    tiling: Tiling
    space: bytes
    """The namespace of the keys."""
    blocks: int
    """How many blocks the caches have."""

    @classmethod
    def open(
        cls,
        config: TransferConfig,
        caches: PagedCaches,
        *,
        model_name: str,
        facts: Mapping[str, object],
        rotation: Rotation | None = None,
    ) -> TransferParts:
        """Take host memory and open the store; see :meth:`kvtransfer.KVTransfer.open`.

        ``rotation`` is how the model rotates its keys, for loads that move tokens.
        """
        caches = quantised_caches(caches, config.remote_serde)
        chunk = caches.chunk
        if chunk.tokens != config.chunk_size:
            raise ConfigError(
                f"chunk_size={config.chunk_size} but the caches were cut for chunks of "
                f"{chunk.tokens} tokens; make them equal"
            )
        names = EntryKeys(config.model_name or model_name, world_size=1)
        shapes: dict[str, object] = {"layout": chunk.layout, "dtype": chunk.dtype}
        shapes["shape"] = list(chunk.shape)
        if chunk.quantised:
            shapes["codec"] = chunk.quantised.label
        shelf = Shelf()
        executor = Executor.open(config, ((caches,),), chunk, names, [0], shelf)
        if rotation is not None:
            _rotate(executor, rotation)
        return cls(
            Planner.open(config, chunk, ranks=1),
            Lookup.open(config, chunk, names, shelf),
            executor,
            Tiling(chunk.tokens, caches.block_tokens),
            namespace({**facts, **shapes, "operator": config.namespace}),
            caches.blocks,
        )


def _rotate(executor: Executor, rotation: Rotation) -> None:
    try:
        executor.rotate_by(rotation)
    except ValueError:
        executor.close()
        raise
