"""Prompts, and engines' settings."""

from __future__ import annotations

import random
from typing import Any

from tests.connector.engine_process import Setup
from tests.connector.tiny_model import VOCABULARY

CHUNK_TOKENS = 64
ALWAYS = 1e9
"""A margin by which every load pays: the tiny model computes faster than anything is fetched."""

NGRAM: dict[str, Any] = {
    "speculative_config": {
        "method": "ngram",
        "num_speculative_tokens": 3,
        "prompt_lookup_min": 1,
        "prompt_lookup_max": 3,
    }
}
"""What came after the last tokens before is drafted: often, and hardly ever right."""


def prompt(tokens: int, seed: int = 0) -> list[int]:
    """That many token ids, the same each time; those of one ``seed`` are prefixes of each other."""
    chance = random.Random(seed)
    return [chance.randrange(1, VOCABULARY) for _ in range(tokens)]


def connected(
    model: str,
    url: str | None,
    *,
    role: str = "kv_both",
    options: dict[str, Any] | None = None,
    **settings: Any,
) -> Setup:
    """An engine with the connector, on the store at ``url``.

    Args:
        model: its folder.
        url: None for host memory alone.
        role: what vLLM calls ``kv_role``.
        options: arguments of ``LLM``.
        settings: the connector's own; they go before those that all tests share.
    """
    shared = {"chunk_size": CHUNK_TOKENS, "max_local_cpu_size": 0.05, "load_margin": ALWAYS}
    ours = {**shared, **settings}
    transfer = {
        "kv_connector": "KVTransferConnector",
        "kv_role": role,
        "kv_load_failure_policy": "recompute",
        "kv_connector_extra_config": ours if url is None else {"remote_url": url, **ours},
    }
    return Setup(model, transfer, options or {})
