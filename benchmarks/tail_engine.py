"""Runs one vLLM that tells how far its predictions over the end of a prompt are from full prefill's.

``python benchmarks/tail_engine.py FD`` reads lines of JSON from standard input: how the engine is
made, then one :class:`Asked` a line. It writes lines of JSON to the file descriptor ``FD``: ``{}``
once the engine is up, then one :class:`Told` for each request. It imports nothing of this project
by itself, so that it runs as a script without a search path.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Asked:
    """A prompt; what is asked without ``blend`` is computed whole."""

    prompt_ids: list[int]
    salt: str
    """Requests reuse only what others with the same salt have saved."""
    scored_tokens: int = 0
    """The last ones of the prompt, whose predictions are compared; 0: the prompt is only saved."""
    blend: dict[str, Any] | None = None
    """What the request says in ``kv_transfer_params["kvtransfer"]``."""


@dataclass(frozen=True)
class Told:
    """Compares the predictions of a prompt's last tokens with those of the last full prefill."""

    kl: float
    """From full prefill, in nats, the mean over the scored tokens."""
    top1: float
    """The share of them whose likeliest token is the same."""
    nll: float
    """The negative log-probability of the scored tokens themselves, their mean."""
    right: float
    """1.0 if each scored token is the likeliest one, else 0.0."""
    blend: dict[str, Any] | None
    """What the request was told of blending."""


class TailEngine:
    """An engine in this process, which notes all that its model puts out.

    Args:
        model: its folder.
        transfer: the ``kv_transfer_config``.
        block_tokens: of vLLM's blocks.
    """

    def __init__(self, model: str, transfer: dict[str, Any], block_tokens: int) -> None:
        from vllm import LLM

        self._llm = LLM(
            model=model,
            dtype="float32",
            block_size=block_tokens,
            enforce_eager=True,
            max_model_len=4096,
            max_num_seqs=4,
            kv_cache_memory_bytes=512 << 20,
            kv_transfer_config=transfer,
            skip_tokenizer_init=True,
        )
        worker = self._llm.llm_engine.engine_core.engine_core.model_executor.driver_worker.worker
        self._model = worker.model_runner.get_model()
        self._hidden: list[torch.Tensor] = []
        self._model.register_forward_hook(lambda _, __, output: self._hidden.append(output))
        self._full: torch.Tensor | None = None

    def ask(self, asked: Asked) -> Told | None:
        """Compute the prompt; None if nothing of it is scored."""
        from vllm import SamplingParams

        self._hidden.clear()
        wish = {"kv_transfer_params": {"kvtransfer": asked.blend}} if asked.blend else None
        sampling = SamplingParams(
            temperature=0, max_tokens=1, ignore_eos=True, detokenize=False, extra_args=wish
        )
        request = {"prompt_token_ids": asked.prompt_ids, "cache_salt": asked.salt}
        (output,) = self._llm.generate(request, sampling, use_tqdm=False)
        if not asked.scored_tokens:
            return None
        told = (output.kv_transfer_params or {}).get("kvtransfer", {}).get("blend")
        return self._compare(asked, told)

    def close(self) -> None:
        """End the engine in good order."""
        self._llm.llm_engine.engine_core.shutdown()

    def _compare(self, asked: Asked, blend: dict[str, Any] | None) -> Told:
        import torch

        # Gaps are computed before the step that computes the end of the prompt.
        rows = torch.cat(self._hidden)[-asked.scored_tokens - 1 : -1]
        with torch.inference_mode():
            own = torch.log_softmax(self._model.compute_logits(rows).float(), -1)
        if asked.blend is None:
            self._full = own
        full = self._full
        assert full is not None
        scored = torch.tensor(asked.prompt_ids[-asked.scored_tokens :])
        return Told(
            kl=float((full.exp() * (full - own)).sum(-1).mean()),
            top1=float((full.argmax(-1) == own.argmax(-1)).float().mean()),
            nll=-float(own.gather(1, scored[:, None]).mean()),
            right=float(bool((own.argmax(-1) == scored).all())),
            blend=blend,
        )


def main() -> None:
    """Answer until standard input ends."""
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # the model is in this process
    with os.fdopen(int(sys.argv[1]), "w") as replies:
        engine = TailEngine(**json.loads(sys.stdin.readline()))
        try:
            print("{}", file=replies, flush=True)
            for line in sys.stdin:
                told = engine.ask(Asked(**json.loads(line)))
                reply = {} if told is None else asdict(told)
                print(json.dumps(reply), file=replies, flush=True)
        finally:
            engine.close()


if __name__ == "__main__":
    main()
