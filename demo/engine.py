"""One vLLM in a process of its own: ``python demo/engine.py FD``, spoken to in lines of JSON.

Standard input carries a :class:`Setup`, then one :class:`Job` a line until it ends; file
descriptor ``FD`` carries ``{}`` once the engine is up, then one :class:`Answer` a job. Standard
output and error are left to vLLM, which writes much on both.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vllm import LLM

RESTORED_TOKENS = "vllm:external_prefix_cache_hits_total"
FETCHED_BYTES = "kvtransfer:fetched_bytes_total"


@dataclass(frozen=True)
class Setup:
    """What the engine is made of."""

    model: str
    transfer: dict[str, Any] | None = None
    """The ``kv_transfer_config``; None is plain vLLM."""
    block_tokens: int = 32
    """The least that vLLM's CPU attention takes, so a hit recomputes least."""


@dataclass(frozen=True)
class Job:
    """A prompt to answer greedily."""

    prompt_ids: list[int]
    answer_tokens: int
    """The most; fewer where the model ends its answer."""
    forget_local: bool = False
    """Empty vLLM's own prefix cache before."""


@dataclass(frozen=True)
class Answer:
    """What came back, how soon, and where the prompt's KV cache came from."""

    token_ids: list[int]
    ttft_s: float
    prompt_tokens: int
    restored_tokens: int
    """Brought by the connector."""
    local_tokens: int
    """Found in vLLM's own prefix cache."""
    fetched_bytes: int
    """Sent by the store."""

    @property
    def computed_tokens(self) -> int:
        """Of the prompt."""
        return self.prompt_tokens - self.restored_tokens - self.local_tokens


def kvtransfer_config() -> dict[str, Any]:
    """What a user gives as ``--kv-transfer-config``.

    The URL is not here but in ``KVTRANSFER_REMOTE_URL``: it holds a password, and vLLM logs this.
    """
    return {
        "kv_connector": "KVTransferConnector",
        "kv_role": "kv_both",
        "kv_load_failure_policy": "recompute",
        "kv_connector_extra_config": {"max_local_cpu_size": 0.5},
    }


def main() -> None:
    """Answer jobs until standard input ends."""
    # Scheduler and worker in this process, unless told otherwise.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    with os.fdopen(int(sys.argv[1]), "w") as replies:
        llm = start(Setup(**json.loads(sys.stdin.readline())))
        try:
            send(replies, {})
            serve(llm, sys.stdin, replies)
        finally:
            llm.llm_engine.engine_core.shutdown()  # flushes what is still on its way to the store


def start(setup: Setup) -> LLM:
    """The engine, warmed up by a request too short to be cached."""
    from vllm import LLM

    llm = LLM(
        model=setup.model,
        dtype="float32",
        block_size=setup.block_tokens,
        enforce_eager=True,
        max_model_len=8192,
        max_num_seqs=4,
        kv_cache_memory_bytes=512 << 20,
        kv_transfer_config=setup.transfer,
        disable_log_stats=False,  # they hold the time to first token
    )
    answer(llm, Job(prompt_ids=list(range(100, 131)), answer_tokens=2))
    return llm


def serve(llm: LLM, jobs: Iterable[str], replies: TextIO) -> None:
    """Answer each line of ``jobs`` in turn."""
    for line in jobs:
        send(replies, asdict(answer(llm, Job(**json.loads(line)))))


def answer(llm: LLM, job: Job) -> Answer:
    """Run one request alone, to its end."""
    from vllm import SamplingParams

    if job.forget_local and not llm.reset_prefix_cache():
        raise RuntimeError("vLLM's prefix cache was not emptied: a block of it is still in use")
    before_tokens, before_bytes = counted(RESTORED_TOKENS), counted(FETCHED_BYTES)
    sampling = SamplingParams(temperature=0, max_tokens=job.answer_tokens)
    (output,) = llm.generate({"prompt_token_ids": job.prompt_ids}, sampling, use_tqdm=False)
    restored_tokens = counted(RESTORED_TOKENS) - before_tokens
    return Answer(
        token_ids=list(output.outputs[0].token_ids),
        ttft_s=output.metrics.first_token_latency,
        prompt_tokens=len(job.prompt_ids),
        restored_tokens=restored_tokens,
        local_tokens=(output.num_cached_tokens or 0) - restored_tokens,
        fetched_bytes=counted(FETCHED_BYTES) - before_bytes,
    )


def counted(name: str) -> int:
    """The sum of a counter that vLLM or its connector keeps for Prometheus, since the start."""
    from prometheus_client import REGISTRY

    samples = (sample for family in REGISTRY.collect() for sample in family.samples)
    return int(sum(sample.value for sample in samples if sample.name == name))


def send(replies: TextIO, message: dict[str, Any]) -> None:
    """Write one line, at once."""
    print(json.dumps(message), file=replies, flush=True)


if __name__ == "__main__":
    main()
