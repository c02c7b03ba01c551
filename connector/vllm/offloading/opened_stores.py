"""Opens the stores of the tier: one handle to ask, one to move rows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.connector.vllm.offloading.rows import row_format
from kvtransfer.scheduling.lookup.questions import Questions
from kvtransfer.stores.open import open_tiers
from kvtransfer.stores.shelf import Shelf

if TYPE_CHECKING:
    from vllm.v1.kv_offload.config import OffloadingConfig

    from kvtransfer.config import TransferConfig
    from kvtransfer.stores.tiered import TieredStore


@dataclass(frozen=True)
class OpenedStores:
    """The same stores twice, so that a lookup waits for no row on its way."""

    questions: Questions
    moving: TieredStore

    @classmethod
    def of(
        cls, config: TransferConfig, offloading: OffloadingConfig, row_bytes: int
    ) -> OpenedStores:
        """Open what ``config`` names for rows of ``row_bytes``.

        Raises:
            ConfigError: as ``open_tiers`` says.
        """
        form, shelf = row_format(offloading, row_bytes), Shelf()
        asked, moving = (open_tiers(config, form, shelf=shelf) for _ in range(2))
        assert asked is not None, "settings without a store are refused"
        assert moving is not None
        timeout_s = config.lookup_timeout_ms / 1000
        return cls(Questions(asked, lambda name: (name,), timeout_s, time.monotonic), moving)
