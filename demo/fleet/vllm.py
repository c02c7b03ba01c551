"""Says how the fleet's vLLM instances are started, and where they answer."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from demo.fleet.child import Child
from demo.process import QUIET

if TYPE_CHECKING:
    from collections.abc import Mapping

MODEL_NAME = "model"
START_S = 400.0
_KV_CACHE_BYTES = 128 << 20
"""Less than the contexts of the conversations take, so that vLLM alone can't keep them."""
_LONGEST_TOKENS = 2048


@dataclass(frozen=True)
class VllmCommand:
    """An instance on ``port``; started again, it is the same instance with empty caches."""

    name: str
    model: Path
    port: int
    redis_url: str
    chunk_tokens: int
    model_name: str = MODEL_NAME
    """What its users call the model."""
    more_settings: Mapping[str, object] = field(default_factory=dict)
    """Settings of kvtransfer beside those that all have."""

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, logs: Path) -> Child:
        """Start it; it takes a minute to come up."""
        return Child(
            self.name,
            [str(Path(sys.executable).with_name("vllm")), "serve", *self._arguments()],
            f"{self.url}/health",
            logs / f"{self.name}.log",
            self._environment,
        )

    @property
    def _environment(self) -> Mapping[str, str]:
        # Not an argument, as vLLM logs those, and the URL holds a password.
        return {**QUIET, "KVTRANSFER_REMOTE_URL": self.redis_url}

    def _arguments(self) -> list[str]:
        named = {
            "host": "127.0.0.1",
            "port": self.port,
            "served-model-name": self.model_name,
            "dtype": "float32",
            "block-size": 32,
            "max-model-len": _LONGEST_TOKENS,
            "max-num-seqs": 4,
            "kv-cache-memory-bytes": _KV_CACHE_BYTES,
            "kv-transfer-config": json.dumps(self._transfer()),
        }
        pairs = [part for name, value in named.items() for part in (f"--{name}", str(value))]
        return [str(self.model), "--enforce-eager", "--enable-prompt-tokens-details", *pairs]

    def _transfer(self) -> dict[str, object]:
        return {
            "kv_connector": "KVTransferConnector",
            "kv_role": "kv_both",
            "kv_load_failure_policy": "recompute",
            "kv_connector_extra_config": {
                "chunk_size": self.chunk_tokens,
                "max_local_cpu_size": 0.25,
                **self.more_settings,
            },
        }
