"""Runs a fleet on this machine and kills parts of it: ``make fleet``.

``python -m demo.fleet.run [--json FILE] [--conversations N] [--logs FOLDER]``. First a vLLM without
kvtransfer holds all conversations, for the right answers. Then there are two vLLM with kvtransfer
behind vllm-router, a Redis master with a replica and three Sentinels, and a Prometheus if one is
installed. Users hold conversations; meanwhile one vLLM and the Redis master are killed, and the vLLM
is started again.

The exit status is 0 if every request was answered rightly, 1 if not, and 2 if the fleet could not
run.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.console import Console

from demo.engine import Job, Setup
from demo.fleet.child import ChildError, free_port
from demo.fleet.conversations import questions_of, with_answers
from demo.fleet.drill import drill, start
from demo.fleet.load import Client
from demo.fleet.redis_service import RedisService
from demo.fleet.report import print_outcome
from demo.fleet.vllm import VllmCommand
from demo.process import EngineError, EngineProcess
from demo.prompts import Chat
from demo.report import Screen
from demo.smollm2 import model_folder
from demo.texts import real_text
from kvtransfer.errors import KVTransferError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demo.fleet.conversations import Turn
    from demo.fleet.outcome import Outcome

CHUNK_TOKENS = 128
CONTEXT_TOKENS = 6 * CHUNK_TOKENS
_CONTEXTS = 6
_TURNS = 3
_ANSWER_TOKENS = 16
_INSTANCES = 2
_REDIS_MIB = 768


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the drill and print it; return the exit status."""
    options = _options(arguments)
    console = Console()
    try:
        with ExitStack() as running:
            logs = options.logs or Path(running.enter_context(TemporaryDirectory()))
            outcome = _outcome(Screen(console), options.conversations, logs, running)
    except KeyboardInterrupt:
        return 130
    except (ChildError, EngineError, KVTransferError, FileNotFoundError, ValueError) as error:
        print(f"fleet: {error}", file=sys.stderr)
        return 2
    if options.json:
        options.json.write_text(json.dumps(outcome.to_json(), indent=2) + "\n", encoding="utf-8")
    return print_outcome(console, outcome)


def _outcome(screen: Screen, conversations: int, logs: Path, running: ExitStack) -> Outcome:
    model = model_folder()
    held = _conversations(screen, model, 3 * conversations, logs)
    redis = running.enter_context(RedisService(logs, _REDIS_MIB))
    commands = [
        VllmCommand(f"vllm-{number}", model, free_port(), redis.url, CHUNK_TOKENS)
        for number in range(1, _INSTANCES + 1)
    ]
    fleet = start(running, screen, redis, commands, logs)
    parts = [held[i * conversations : (i + 1) * conversations] for i in range(3)]
    return drill(screen, fleet, Client(fleet.router_url, _ANSWER_TOKENS), parts)


def _conversations(screen: Screen, model: Path, count: int, logs: Path) -> list[list[Turn]]:
    """Let a vLLM without kvtransfer hold ``count`` conversations; it has ended on return."""
    chat = Chat(model)
    contexts = chat.contexts(real_text(), CONTEXT_TOKENS, _CONTEXTS)
    with (
        screen.stage("vLLM without kvtransfer gives the right answers") as detail,
        EngineProcess(Setup(str(model)), logs / "plain.log", {}) as plain,
    ):

        def ask(prompt_ids: list[int]) -> list[int]:
            return plain.answer(Job(prompt_ids, _ANSWER_TOKENS)).token_ids

        held = []
        for number in range(count):
            detail(f"{number + 1} of {count}")
            context = contexts[number % _CONTEXTS]
            held.append(with_answers(chat, context, questions_of(number, _TURNS), ask))
    return held


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m demo.fleet.run", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument(
        "--conversations", type=int, default=6, metavar="N", help="in each part (default: 6)"
    )
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="keep the servers' logs there")
    options = parser.parse_args(arguments)
    if options.conversations < 1:
        parser.error(f"--conversations {options.conversations}: at least 1")
    for folder in (options.logs, options.json and options.json.absolute().parent):
        if folder and not folder.is_dir():
            parser.error(f"there is no folder {folder}")
    return options


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends every `with` in good order
    sys.exit(main())
