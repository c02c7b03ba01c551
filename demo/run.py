"""Shows a context that one vLLM process computes and another one restores from Redis.

``python -m demo.run [--json FILE] [--runs N]``, or ``make demo``. Three vLLM processes on the same
model, and a Redis-compatible server of our own:

- one without kvtransfer answers a question about each text, for the right answer and its cost;
- one with kvtransfer answers *another* question about each text, which puts the text's KV into Redis;
- a new one with kvtransfer answers the first one's questions: it restores the texts and computes
  only the questions. Asked again, it finds all in vLLM's own prefix cache, which nothing can beat.

The exit status is 0 if all texts were restored and all answers agree token by token, 1 if not, and
2 if the demo could not run.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.console import Console

from demo.entry import read_entry
from demo.outcome import Outcome
from demo.process import EngineError
from demo.prompts import SECOND_QUESTION, Chat
from demo.report import Screen
from demo.smollm2 import model_folder
from demo.texts import real_text
from demo.three_ways import Engines, ask_three_ways
from kvtransfer.errors import KVTransferError
from kvtransfer.stores.embedded.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Sequence

CONTEXT_TOKENS = 2048
"""Tokens of the chat template's head and the text together: whole chunks of 256 tokens."""

_BYTES_PER_RUN = 256 << 20  # 94 MB of payload, with room to spare


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and print it; return the exit status."""
    options = _options(arguments)
    screen = Screen(Console())
    try:
        outcome = demonstrate(screen, options.runs, CONTEXT_TOKENS)
    except KeyboardInterrupt:
        return 130
    except (EngineError, KVTransferError, FileNotFoundError, ValueError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    if options.json:
        options.json.write_text(json.dumps(outcome.to_json(), indent=2) + "\n", encoding="utf-8")
    return screen.verdict(outcome)


def demonstrate(screen: Screen, runs: int, context_tokens: int) -> Outcome:
    """Ask about ``runs`` texts and print the results; all processes have ended on return.

    Raises:
        EngineError: a vLLM process ended early.
        FileNotFoundError: the model or the text is not installed.
        KVTransferError: the Redis server is not installed, or doesn't start.
        ValueError: the text is too short for ``runs`` contexts.
    """
    with screen.stage("SmolLM2-135M-Instruct, converted once"):
        folder, text = model_folder(), real_text()
        chat = Chat(folder)
        contexts = chat.contexts(text, context_tokens, runs)
    with EmbeddedServer(runs * _BYTES_PER_RUN) as server, TemporaryDirectory() as logs:
        engines = Engines(folder, Path(logs), server.url)
        outcome = Outcome(context_tokens, ask_three_ways(screen, engines, chat, contexts))
        entry = read_entry(server.url)
    answer = chat.words(outcome.runs[0].restored.token_ids)
    screen.figures(outcome)
    screen.exchange(text.title, SECOND_QUESTION, answer)
    if entry is not None:
        screen.entry(entry)
    return outcome


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo.run", description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="texts (default: 3)")
    options = parser.parse_args(arguments)
    if options.runs < 1:
        parser.error(f"--runs {options.runs}: at least 1")
    if options.json and not options.json.absolute().parent.is_dir():
        parser.error(f"--json {options.json}: there is no folder {options.json.parent}")
    return options


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends every `with` in good order
    sys.exit(main())
