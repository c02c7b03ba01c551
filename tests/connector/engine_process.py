"""The far end: one vLLM engine in a process of its own, spoken to in lines of JSON.

The first line is a :class:`Setup`; each later one names a method of :class:`Session` and its
arguments. Every line is answered with one: ``{"reply": ...}``, or ``{"error": ...}`` with the
exception's text, after which the process ends. Standard output and error are left to vLLM.
"""

from __future__ import annotations

import faulthandler
import json
import socket
import sys
import traceback
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.connector.models import preparations
from tests.connector.models.groups import caches_of

OURS = "kvtransfer:"
HANG_S = 200
"""A command that takes longer ends the process, with every thread's stack in the log."""


@dataclass(frozen=True)
class Setup:
    """What the engine is made of."""

    model: str
    transfer: dict[str, Any] | None = None
    """The ``kv_transfer_config``; None is plain vLLM."""
    options: dict[str, Any] = field(default_factory=dict)
    """Arguments of ``LLM`` beside or instead of :data:`OPTIONS`."""
    preparations: list[str] = field(default_factory=list)
    """Functions of :mod:`tests.connector.models.preparations` to call before the engine starts."""


OPTIONS: dict[str, Any] = {
    "dtype": "float32",
    "block_size": 32,
    "enforce_eager": True,
    "max_model_len": 2048,
    "max_num_seqs": 4,
    "kv_cache_memory_bytes": 16 << 20,
    "skip_tokenizer_init": True,
    "disable_log_stats": False,  # they hold the hits
}


@dataclass(frozen=True)
class Request:
    """A prompt to answer greedily, ``answer_tokens`` exactly."""

    prompt_ids: list[int]
    answer_tokens: int = 8
    cache_salt: str | None = None
    adapter: dict[str, Any] | None = None
    """Of what vLLM makes its ``LoRARequest``."""
    with_logprobs: bool = False
    """Whether to tell the log-probability of each token of the answer."""
    blend: dict[str, Any] | None = None
    """What it says in ``kv_transfer_params["kvtransfer"]``."""
    trace_headers: dict[str, str] | None = None
    """The trace that it is a part of."""


@dataclass(frozen=True)
class Outcome:
    """What has come of the requests submitted since the last outcome, in their order."""

    answers: list[list[int]]
    """Token ids; of an aborted request none."""
    cached_tokens: list[int]
    """Of each prompt: not computed, wherever they came from."""
    external_tokens: int
    """By vLLM's own count, brought by the connector; a resumed request's are not counted."""
    preemptions: int
    steps: int
    logprobs: list[list[float]]
    """Of each answer's tokens, where the request asks for them."""
    blends: list[dict[str, Any] | None] = field(default_factory=list)
    """What each request was told of blending; None: nothing."""


def serve(connection: socket.socket) -> None:
    """Run one engine until the near end hangs up or says ``close``."""
    faulthandler.enable()
    with connection, connection.makefile("rw") as lines:
        try:
            _answer_each(lines)
        except BaseException as error:  # noqa: BLE001 - the near end decides what it means
            traceback.print_exc()
            sys.stderr.flush()
            _send(lines, {"error": f"{type(error).__name__}: {error}"})


def _answer_each(lines: Any) -> None:
    session: Session | None = None
    for line in lines:
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        command = json.loads(line)
        if session is None:
            session, reply = Session(Setup(**command)), None
        else:
            reply = getattr(session, command["do"])(**command["with"])
        faulthandler.cancel_dump_traceback_later()
        _send(lines, {"reply": reply})


def _send(lines: Any, message: dict[str, Any]) -> None:
    lines.write(json.dumps(message) + "\n")
    lines.flush()


class Session:
    """An engine and the requests given to it."""

    def __init__(self, setup: Setup) -> None:
        from vllm import LLM

        self._seen: set[str] = set()
        for name in setup.preparations:
            getattr(preparations, name)()
        if setup.transfer is not None:
            self._watch_metrics()
        self._llm = LLM(
            model=setup.model, kv_transfer_config=setup.transfer, **{**OPTIONS, **setup.options}
        )
        self._engine = self._llm.llm_engine
        self._scheduler = self._engine.engine_core.engine_core.scheduler  # it is in this process
        self._answers: dict[str, Any] = {}
        self._names: dict[str, str] = {}
        """Ours, by the name that vLLM has made of it."""
        self._steps = 0
        self._counted = self._counts()

    def submit(self, requests: list[dict[str, Any]]) -> list[str]:
        """Queue requests; returns their names."""
        names = [f"request-{len(self._answers) + i}" for i in range(len(requests))]
        for name, request in zip(names, requests, strict=True):
            self._answers[name] = None
            self._submit(name, Request(**request))
        return names

    def _submit(self, name: str, request: Request) -> None:
        from vllm import SamplingParams
        from vllm.inputs.engine import tokens_input

        sampling = SamplingParams(
            temperature=0,
            max_tokens=request.answer_tokens,
            ignore_eos=True,
            detokenize=False,
            logprobs=0 if request.with_logprobs else None,
            extra_args=_extra_args(request),
        )
        prompt = tokens_input(request.prompt_ids, cache_salt=request.cache_salt)
        adapter = _lora_request(request.adapter) if request.adapter else None
        added = self._engine.add_request(
            name, prompt, sampling, lora_request=adapter, trace_headers=request.trace_headers
        )
        self._names[added] = name

    def add_adapter(self, adapter: dict[str, Any]) -> bool:
        """Have vLLM load an adapter now, as ``/v1/load_lora_adapter`` does."""
        return bool(self._engine.add_lora(_lora_request(adapter)))

    def remove_adapter(self, lora_int_id: int) -> bool:
        """Have vLLM let go of one."""
        return bool(self._engine.remove_lora(lora_int_id))

    def step(self) -> dict[str, str]:
        """Run the engine once; returns the state of each request that is left, by name."""
        self._step()
        requests = self._scheduler.requests
        return {self._names[theirs]: request.status.name for theirs, request in requests.items()}

    def _step(self) -> None:
        self._steps += 1
        for output in self._engine.step():
            if output.finished:
                self._answers[output.request_id] = output

    def run(self) -> dict[str, Any]:
        """Run the engine until nothing is left to do, as vLLM's own loop does."""
        while self._scheduler.has_requests():
            self._step()
        return self._outcome()

    def answer(self) -> dict[str, Any]:
        """Run the engine until the last answer and no step further, as ``LLM.generate`` does."""
        while self._engine.has_unfinished_requests():
            self._step()
        return self._outcome()

    def _outcome(self) -> dict[str, Any]:
        outputs = list(self._answers.values())
        counts = self._counts()
        outcome = Outcome(
            answers=[list(output.outputs[0].token_ids) if output else [] for output in outputs],
            cached_tokens=[output.num_cached_tokens if output else 0 for output in outputs],
            external_tokens=counts[0] - self._counted[0],
            preemptions=counts[1] - self._counted[1],
            steps=self._steps,
            logprobs=[_logprobs(output) for output in outputs],
            blends=[_blend(output) for output in outputs],
        )
        self._answers, self._steps, self._counted = {}, 0, counts
        return asdict(outcome)

    def abort(self, names: list[str]) -> None:
        """Drop requests, whatever state they are in."""
        self._engine.abort_request(names)

    def reset(self, connector: bool, running: bool) -> bool:
        """Empty vLLM's own prefix cache, and more as told; whether that worked."""
        return bool(self._llm.reset_prefix_cache(running, connector))

    def call(self, method: str, **arguments: Any) -> Any:
        """Have every worker do something, by vLLM's ``collective_rpc``; what the first returns."""
        return self._llm.collective_rpc(method, kwargs=arguments)[0]

    def block_ids(self, name: str) -> list[int]:
        """The blocks of an unfinished request in the first cache group, in token order."""
        *_, theirs = (each for each, ours in self._names.items() if ours == name)
        return list(self._scheduler.kv_cache_manager.get_block_ids(theirs)[0])

    def load_embedding(self, folder: str) -> None:
        """Load the embedding of the model in ``folder``, as a trainer in the same process does.

        On a CPU it is the only large weight that can be replaced so; linear layers are packed.
        """
        from safetensors import safe_open

        with safe_open(f"{folder}/model.safetensors", "pt") as file:
            names = [name for name in file.keys() if "embed_tokens" in name]  # noqa: SIM118
            weights = [(name, file.get_tensor(name)) for name in names]
        self._engine.model_executor.driver_worker.model_runner.model.load_weights(weights)

    def sleep(self, level: int) -> None:
        """Drop every request, forget vLLM's cache, and give up memory where that is possible."""
        self._llm.sleep(level)

    def wake_up(self) -> None:
        """End the sleep."""
        self._llm.wake_up()

    def lose_caches(self) -> None:
        """What vLLM does with the caches' memory asleep, from 0.33 on: it comes back empty."""
        from vllm.distributed.kv_transfer import get_kv_transfer_group

        connector = get_kv_transfer_group()
        connector.unregister_kv_caches()
        worker = self._engine.engine_core.engine_core.model_executor.driver_worker.worker
        for cache in worker.model_runner.kv_caches:
            cache.zero_()
        connector.restore_kv_caches()

    def counted(self) -> dict[str, float]:
        """What our own counters have come to, by name."""
        from prometheus_client import REGISTRY

        return {
            metric.name.removeprefix(OURS): sample.value
            for metric in REGISTRY.collect()
            if metric.name.startswith(OURS)
            for sample in metric.samples
            if sample.name.endswith("_total")
        }

    def _watch_metrics(self) -> None:
        from kvtransfer.connector.vllm.stats import TransferPromMetrics

        observe = TransferPromMetrics.observe

        def observe_and_note(metrics: Any, data: dict[str, Any], engine_idx: int = 0) -> None:
            self._seen |= {name for name, amount in data.items() if amount}
            observe(metrics, data, engine_idx)

        TransferPromMetrics.observe = observe_and_note  # type: ignore[method-assign]

    def seen(self) -> list[str]:
        """Our metrics that were not at zero at some time."""
        return sorted(self._seen)

    def metric(self, name: str) -> float:
        """What a counter of vLLM's own has come to."""
        return float(sum(one.value for one in self._llm.get_metrics() if one.name == name))

    def version(self) -> str:
        """Of vLLM, as its sources say."""
        import vllm

        return str(vllm.__version__)

    def runner(self) -> list[str]:
        """The class of the first worker's model runner, and those that it is derived from."""
        return list(self._llm.collective_rpc(_runner_classes)[0])

    def caches(self) -> dict[str, Any]:
        """How vLLM keeps the model's caches: a :class:`tests.connector.models.groups.Caches`."""
        return asdict(caches_of(self._scheduler.kv_cache_config))

    def share_hashes(self, *, share: bool) -> None:
        """Have the connector leave out what keeps blended blocks from being found, or not."""
        from kvtransfer.connector.vllm import connector
        from kvtransfer.connector.vllm.blend.own_hashes import make_private

        connector.make_private = (lambda *_: None) if share else make_private  # type: ignore[assignment]

    def lose_chunk(self, number: int) -> None:
        """Take chunk ``number`` of what was saved last from host memory."""
        self._index().forget(self._slot(number))

    def spoil_chunk(self, number: int, first_token: int, tokens: int) -> None:
        """Put noise into tokens of chunk ``number`` of what was saved last, in host memory."""
        end = first_token + tokens
        self._llm.collective_rpc(_spoil_slot, args=(self._slot(number), first_token, end))

    def _slot(self, number: int) -> int:
        """Where chunk ``number`` of what was saved last is in host memory."""
        passages = self._scheduler.connector._scheduler._blending._passages
        return int(self._index().find_all([passages._noted[-1].keys[number]])[0])

    def _index(self) -> Any:
        return self._scheduler.connector._scheduler._basis.planner.index

    def close(self) -> None:
        """End the engine in good order."""
        self._engine.engine_core.shutdown()

    def _counts(self) -> tuple[int, int]:
        counted = {metric.name: metric for metric in self._llm.get_metrics()}
        hits = counted["vllm:external_prefix_cache_hits"].value
        return int(hits), int(counted["vllm:num_preemptions"].value)


def _lora_request(adapter: dict[str, Any]) -> Any:
    from vllm.lora.request import LoRARequest

    return LoRARequest(**adapter)


def _extra_args(request: Request) -> dict[str, Any] | None:
    if request.blend is None:
        return None
    return {"kv_transfer_params": {"kvtransfer": request.blend}}


def _blend(output: Any) -> dict[str, Any] | None:
    told = getattr(output, "kv_transfer_params", None)
    return told["kvtransfer"].get("blend") if told else None


def _logprobs(output: Any) -> list[float]:
    """The log-probability of each token that was answered."""
    if output is None or output.outputs[0].logprobs is None:
        return []
    (answer,) = output.outputs
    return [
        each[token].logprob for token, each in zip(answer.token_ids, answer.logprobs, strict=True)
    ]


def _spoil_slot(_worker: Any, slot: int, first_token: int, end: int) -> None:
    from vllm.distributed.kv_transfer import get_kv_transfer_group

    pool = get_kv_transfer_group()._worker._executor._tiers.pool
    (section,) = pool.sections(slot, 0)
    section[:, first_token:end].normal_()


def _runner_classes(worker: Any) -> list[str]:
    return [f"{kind.__module__}.{kind.__qualname__}" for kind in type(worker.model_runner).mro()]


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
