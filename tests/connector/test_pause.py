"""``AsyncLLM.pause_generation`` and an end right after the last answer, of an engine that has a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict

import pytest

from tests.connector.engine_process import Request
from tests.connector.engines import REPLY_S, ROOT
from tests.connector.inputs import CHUNK_TOKENS, connected, prompt
from tests.connector.pausing import ANSWER_TOKENS, MODES

pytestmark = pytest.mark.vllm

PROMPTS = [prompt(tokens, seed=tokens) for tokens in (700, 900, 1100, 1300)]


def test_it_pauses_in_each_mode_answers_right_and_stores_everything(
    model, server, entries, plain, tmp_path
):
    right = plain.generate(*(Request(ids, ANSWER_TOKENS) for ids in PROMPTS)).answers
    setup = connected(model, server.url, max_pending_puts=512)
    log = tmp_path / "pausing.log"
    with log.open("wb") as words:
        said = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.connector.pausing",
                json.dumps(asdict(setup)),
                json.dumps(PROMPTS),
            ],
            cwd=ROOT,
            env={**os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": "1"},
            stdout=subprocess.PIPE,
            stderr=words,
            timeout=2 * REPLY_S,
            check=False,
        )
    assert said.returncode == 0, log.read_text(errors="replace")[-6000:]
    (said_last,) = (line for line in said.stdout.decode().splitlines() if line.startswith("{"))
    answers = json.loads(said_last)
    for mode in MODES:
        paused, again = answers[mode][: len(PROMPTS)], answers[mode][len(PROMPTS) :]
        assert again == right
        if mode == "abort":
            assert all(
                part == whole[: len(part)] for part, whole in zip(paused, right, strict=True)
            )
        else:
            assert paused == right
    assert len(entries.keys()) >= sum(len(ids) // CHUNK_TOKENS for ids in PROMPTS)
