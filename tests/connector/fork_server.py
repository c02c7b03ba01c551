"""Imports vLLM once, then forks a child for each engine: seconds instead of half a minute each.

``python -m tests.connector.fork_server FD``: each message on the Unix socket ``FD`` is one engine
to start, JSON with its ``environment``; two file descriptors come along, the engine's connection
and its log. The answer is the child's process id. It ends when the near end hangs up.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
from contextlib import suppress

from tests.connector import engine_process

ARCHITECTURES = (
    "Cohere2ForCausalLM",
    "DeepseekV2ForCausalLM",
    "EagleLlamaForCausalLM",
    "FalconH1ForCausalLM",
    "Gemma2ForCausalLM",
    "Gemma3ForCausalLM",
    "Gemma3nForCausalLM",
    "Gemma4ForCausalLM",
    "GptOssForCausalLM",
    "GraniteMoeHybridForCausalLM",
    "Lfm2ForCausalLM",
    "Llama4ForCausalLM",
    "LlamaForCausalLM",
    "MambaForCausalLM",
    "MistralForCausalLM",
    "NemotronHForCausalLM",
    "Qwen3ForCausalLM",
    "Qwen3NextForCausalLM",
)
"""What the tests' models are; to import them all takes a fifth of a second."""


def main() -> None:
    with socket.socket(fileno=int(sys.argv[1])) as control:
        _import_vllm()
        control.sendall(b"ready\n")
        while True:
            message, descriptors, _, _ = socket.recv_fds(control, 1 << 16, 2)
            _bury_the_dead()
            if not message:
                return
            control.sendall(b"%d\n" % _fork(control, json.loads(message), *descriptors))


def _bury_the_dead() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _import_vllm() -> None:
    import vllm.entrypoints.llm
    import vllm.model_executor.layers.quantization.online.base
    import vllm.v1.executor.uniproc_executor
    import vllm.v1.worker.cpu_worker  # noqa: F401
    from vllm import ModelRegistry

    for name in ARCHITECTURES:
        # Under its own name once more: vLLM would ask a process of its own about each, for 15 s.
        ModelRegistry.register_model(name, ModelRegistry.models[name].load_model_cls())
    gc.collect()
    gc.freeze()  # the children collect several times each as they start: not all of this again


def _fork(control: socket.socket, environment: dict[str, str], connection: int, log: int) -> int:
    """The process id of the child, which never returns from here."""
    pid = os.fork()
    if pid:
        os.close(connection)
        os.close(log)
        return pid
    try:
        control.close()
        os.environ.update(environment)
        for stream in (1, 2):
            os.dup2(log, stream)
        engine_process.serve(socket.socket(fileno=connection))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # main's way out is the parent's


if __name__ == "__main__":
    main()
