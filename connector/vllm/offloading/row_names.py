"""Names the entry of each row, so that equal names mean equal bytes."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import asdict
from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import KEY_HEX_DIGITS, base_key, namespace

if TYPE_CHECKING:
    from vllm.v1.kv_offload.config import OffloadingConfig

    from kvtransfer.config import TransferConfig

_SIZES = ("world_size", "tp_size", "pp_size", "pcp_size", "dcp_size")


class RowNames:
    """Makes base keys from vLLM's offload keys, which are a block's hash and its cache group.

    Args:
        space: everything that shapes a row's bytes beside what vLLM's keys name.
        model_name: how keys call the model.
    """

    def __init__(self, space: bytes, model_name: str) -> None:
        self._model_name = model_name
        self._prefix = base_key(model_name, 1, 0, "")
        self._space = hashlib.sha256(space)

    @classmethod
    def of(
        cls, offloading: OffloadingConfig, config: TransferConfig, covered: str, row_bytes: int
    ) -> RowNames:
        """Names for the rows of an engine.

        Args:
            offloading: vLLM's account of its cache groups, chunks and workers.
            config: the tier's settings.
            covered: what ``covered_by_keys`` returned.
            row_bytes: of each row.
        """
        parallel = asdict(offloading.parallel)
        facts = {
            "covered": covered,
            "groups": [
                [group.group_id, group.tokens_per_block, list(group.layer_names)]
                for group in offloading.groups
            ],
            "dtype": offloading.model.dtype,
            "cache": asdict(offloading.cache),
            "worker_bytes": offloading.worker_kv_bytes_per_block,
            "row_bytes": row_bytes,
            "parallel": {name: parallel[name] for name in _SIZES},
            "replicated": offloading.replicated_layout,
            "canonical": offloading.canonical_layout,
            "layout": offloading.kv_cache_layout,
            "operator": config.namespace,
        }
        return cls(namespace(facts), config.model_name or offloading.model.name)

    def __call__(self, key: bytes) -> str:
        """Return the base key of the row of vLLM's ``key``."""
        digest = self._space.copy()
        digest.update(key)
        return self._prefix + digest.hexdigest()[:KEY_HEX_DIGITS]

    def private(self) -> RowNames:
        """Return names that no other process has, nor this one before."""
        return RowNames(secrets.token_bytes(32), self._model_name)
