"""Pauses an ``AsyncLLM`` in each mode while it answers; the answers go to standard output as JSON.

``python -m tests.connector.pausing SETUP PROMPTS``, both JSON: a Setup and lists of token ids.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from tests.connector.engine_process import OPTIONS, Setup

MODES = ("keep", "wait", "abort")
ANSWER_TOKENS = 24


async def pause_in_each_mode(setup: Setup, prompts: list[list[int]]) -> dict[str, Any]:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    arguments = {**OPTIONS, **setup.options}
    engine = AsyncLLM.from_engine_args(
        AsyncEngineArgs(model=setup.model, kv_transfer_config=setup.transfer, **arguments)
    )
    try:
        return {mode: await _pause(engine, mode, prompts) for mode in MODES}
    finally:
        engine.shutdown()


async def _pause(engine: Any, mode: str, prompts: list[list[int]]) -> list[list[int]]:
    began = [asyncio.Event() for _ in prompts]
    tasks = [
        asyncio.create_task(_answer(engine, f"{mode}-{i}", prompt, began[i]))
        for i, prompt in enumerate(prompts)
    ]
    for each in began:
        await each.wait()
    await engine.pause_generation(mode=mode)
    assert await engine.is_paused()
    await engine.resume_generation()
    answers = list(await asyncio.gather(*tasks))
    again = await asyncio.gather(
        *(_answer(engine, f"{mode}-again-{i}", prompt) for i, prompt in enumerate(prompts))
    )
    assert await engine.reset_prefix_cache(), f"blocks are in use after {mode}"
    return [*answers, *again]


async def _answer(
    engine: Any, name: str, prompt: list[int], began: asyncio.Event | None = None
) -> list[int]:
    from vllm import SamplingParams
    from vllm.inputs.engine import tokens_input

    sampling = SamplingParams(
        temperature=0, max_tokens=ANSWER_TOKENS, ignore_eos=True, detokenize=False
    )
    tokens: list[int] = []
    async for output in engine.generate(tokens_input(prompt), sampling, name):
        tokens = list(output.outputs[0].token_ids)
        if began is not None:
            began.set()
    return tokens


if __name__ == "__main__":
    answers = asyncio.run(
        pause_in_each_mode(Setup(**json.loads(sys.argv[1])), json.loads(sys.argv[2]))
    )
    print("\n" + json.dumps(answers))
