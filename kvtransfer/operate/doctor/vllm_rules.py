"""Judges the arguments with which vLLM is started. Pure."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from kvtransfer.operate.doctor.finding import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kvtransfer.config import TransferConfig

_CONNECTOR = "KVTransferConnector"
_OPTION = "--kv-transfer-config"


class Arguments:
    """The arguments of ``vllm serve``, as far as they matter here.

    Args:
        text: as a shell reads it.

    Raises:
        ValueError: quotes don't match, or the configuration of the connector is no JSON object.
    """

    def __init__(self, text: str) -> None:
        self.words: Sequence[str] = shlex.split(text)
        given = self.value(_OPTION)
        read = {} if given is None else json.loads(given)
        if not isinstance(read, dict):
            raise ValueError(f"{_OPTION} must be a JSON object")
        self.transfer: Mapping[str, object] = read

    @property
    def settings(self) -> dict[str, object]:
        """Our settings among them."""
        extra = self.transfer.get("kv_connector_extra_config", {})
        return dict(extra) if isinstance(extra, dict) else {}

    def count(self, option: str, default: int) -> int:
        """Return the number above 0 that ``option`` has; ``default`` without one."""
        text = self.value(option) or ""
        return int(text) if text.isdigit() and int(text) else default

    def value(self, option: str) -> str | None:
        """Return the value of ``option``, written with a space or with ``=``; None without it."""
        for word, following in zip(self.words, [*self.words[1:], None], strict=False):
            if word == option:
                return following
            if word.startswith(f"{option}="):
                return word.partition("=")[2]
        return None


def judge_vllm(arguments: Arguments, config: TransferConfig) -> Iterator[Finding]:
    """Yield what should be changed in ``arguments``, beside settings of ours."""
    name = arguments.transfer.get("kv_connector")
    if name not in (_CONNECTOR, "MultiConnector"):
        yield Finding(
            Level.BROKEN,
            "connector",
            f"vLLM is started with the connector {name!r}",
            f'pass {_OPTION} \'{{"kv_connector": "{_CONNECTOR}", "kv_role": "kv_both"}}\'',
        )
        return
    if arguments.transfer.get("kv_load_failure_policy") != "recompute":
        yield Finding(
            Level.BROKEN,
            "failure-policy",
            "kv_load_failure_policy is not recompute, so a failed load fails its request",
            'add "kv_load_failure_policy": "recompute"',
        )
    role = arguments.transfer.get("kv_role")
    if role not in ("kv_both", "kv_producer", "kv_consumer"):
        yield Finding(Level.BROKEN, "role", f"kv_role is {role!r}", 'set "kv_role": "kv_both"')
    if "--no-enable-prefix-caching" in arguments.words:
        yield Finding(
            Level.BROKEN,
            "prefix-caching",
            "--no-enable-prefix-caching also keeps vLLM from loading what others have cached",
            "leave it out",
        )
    block = arguments.value("--block-size")
    if block is not None and block.isdigit() and config.chunk_size % int(block):
        yield Finding(
            Level.BROKEN,
            "block-size",
            f"chunk_size {config.chunk_size} is no multiple of --block-size {block}",
            f"set chunk_size {max(1, config.chunk_size // int(block)) * int(block)}",
        )
