"""Runs one vLLM in a process of its own, which answers jobs: ``python demo/engine.py FD``.

It reads lines of JSON from standard input: a :class:`Setup`, then one :class:`Job` a line. It writes
lines of JSON to the file descriptor ``FD``: ``{}`` once the engine is up, then one :class:`Answer`
for each job. Standard output and error are vLLM's log.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vllm import LLM

RESTORED_TOKENS = "vllm:external_prefix_cache_hits_total"
FETCHED_BYTES = "kvtransfer:fetched_bytes_total"


@dataclass(frozen=True)
class Setup:
    """Says how the engine is made."""

    model: str
    transfer: dict[str, Any] | None = None
    """The ``kv_transfer_config``; None starts vLLM without a connector."""
    block_tokens: int = 32
    """Tokens in a block; 32 is the least that vLLM's CPU attention takes, so a hit recomputes least."""


@dataclass(frozen=True)
class Job:
    """Asks for the greedy answer to a prompt."""

    prompt_ids: list[int]
    answer_tokens: int
    """The most tokens of the answer; the model may end it sooner."""
    forget_local: bool = False
    """Whether vLLM's own prefix cache is emptied first."""
    blend: dict[str, Any] | None = None
    """What the request says in ``kv_transfer_params["kvtransfer"]``; None: nothing."""


@dataclass(frozen=True)
class Answer:
    """Says what the model answered, how soon, and where the prompt's KV came from."""

    token_ids: list[int]
    ttft_s: float
    prompt_tokens: int
    restored_tokens: int
    """Prompt tokens whose KV the connector loaded."""
    local_tokens: int
    """Prompt tokens that vLLM found in its own prefix cache."""
    fetched_bytes: int
    """Bytes that came from the store."""
    cpu_s: float = 0.0
    """CPU seconds of this process, of all its threads, up to the last token of the answer."""
    blend: dict[str, Any] | None = None
    """What the request is told of blending; None: nothing."""

    @property
    def computed_tokens(self) -> int:
        """Prompt tokens that the model computed."""
        return self.prompt_tokens - self.restored_tokens - self.local_tokens


def kvtransfer_config() -> dict[str, Any]:
    """Return what a user gives as ``--kv-transfer-config``.

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
    """Start the engine and warm it up with a request that is too short to be cached."""
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
    """Answer the lines of ``jobs``, one by one."""
    for line in jobs:
        send(replies, asdict(answer(llm, Job(**json.loads(line)))))


def answer(llm: LLM, job: Job) -> Answer:
    """Run one request alone, to its end."""
    from vllm import SamplingParams

    if job.forget_local and not llm.reset_prefix_cache():
        raise RuntimeError("vLLM's prefix cache was not emptied: a block of it is still in use")
    before_tokens, before_bytes = counted(RESTORED_TOKENS), counted(FETCHED_BYTES)
    sampling = SamplingParams(
        temperature=0, max_tokens=job.answer_tokens, extra_args=_extra_args(job)
    )
    began_cpu_s = time.process_time()
    (output,) = llm.generate({"prompt_token_ids": job.prompt_ids}, sampling, use_tqdm=False)
    cpu_s = time.process_time() - began_cpu_s
    restored_tokens = counted(RESTORED_TOKENS) - before_tokens
    return Answer(
        token_ids=list(output.outputs[0].token_ids),
        ttft_s=output.metrics.first_token_latency,
        prompt_tokens=len(job.prompt_ids),
        restored_tokens=restored_tokens,
        local_tokens=(output.num_cached_tokens or 0) - restored_tokens,
        fetched_bytes=counted(FETCHED_BYTES) - before_bytes,
        cpu_s=cpu_s,
        blend=(output.kv_transfer_params or {}).get("kvtransfer", {}).get("blend"),
    )


def _extra_args(job: Job) -> dict[str, Any] | None:
    return {"kv_transfer_params": {"kvtransfer": job.blend}} if job.blend else None


def counted(name: str) -> int:
    """Return a counter that vLLM or its connector keeps for Prometheus, summed over its labels."""
    from prometheus_client import REGISTRY

    samples = (sample for family in REGISTRY.collect() for sample in family.samples)
    return int(sum(sample.value for sample in samples if sample.name == name))


def send(replies: TextIO, message: dict[str, Any]) -> None:
    """Write one line, at once."""
    print(json.dumps(message), file=replies, flush=True)


if __name__ == "__main__":
    main()
