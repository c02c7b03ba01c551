"""Asks three vLLM processes the same questions: one without kvtransfer, two that share a Redis."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo.engine import Job, Setup, kvtransfer_config
from demo.outcome import Run
from demo.process import EngineProcess
from demo.prompts import FIRST_QUESTION, SECOND_QUESTION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from demo.engine import Answer
    from demo.prompts import Chat
    from demo.report import Screen

_ANSWER_TOKENS = 48


@dataclass(frozen=True)
class Engines:
    """Starts the processes, on one model, with logs in one folder and one Redis."""

    model: Path
    logs: Path
    redis_url: str

    def plain(self) -> EngineProcess:
        """Start vLLM without kvtransfer."""
        return EngineProcess(Setup(str(self.model)), self.logs / "plain.log", {})

    def with_kvtransfer(self, name: str) -> EngineProcess:
        """Start vLLM with kvtransfer; nothing is cached but what Redis holds."""
        setup = Setup(str(self.model), kvtransfer_config())
        environment = {"KVTRANSFER_REMOTE_URL": self.redis_url}
        return EngineProcess(setup, self.logs / f"{name}.log", environment)


def ask_three_ways(
    screen: Screen, engines: Engines, chat: Chat, contexts: Sequence[list[int]]
) -> tuple[Run, ...]:
    """Ask about each context; a process that is timed has the machine to itself.

    Raises:
        EngineError: a vLLM process ended early.
    """
    jobs = _jobs(chat, contexts, SECOND_QUESTION, _ANSWER_TOKENS)
    with ExitStack() as running:
        plain = running.enter_context(engines.plain())
        first = running.enter_context(engines.with_kvtransfer("first"))
        _await(screen, "two vLLM processes start, one of them with kvtransfer", plain, first)
        cold = _ask(screen, "vLLM alone reads each text and answers", plain, jobs)
        plain.hang_up()
        # Nothing is timed now, so the second process may start meanwhile.
        second = running.enter_context(engines.with_kvtransfer("second"))
        others = _jobs(chat, contexts, FIRST_QUESTION, 1)
        _ask(screen, "vLLM with kvtransfer reads them for another question", first, others)
        _close(screen, "it ends; what it computed stays in Redis", first)
        _await(screen, "a new vLLM with kvtransfer is up, nothing cached", second)
        twice = [job for job in jobs for _ in range(2)]
        answers = _ask(screen, "it answers about each text, twice", second, twice)
        _close(screen, "it ends", second)
    return tuple(map(Run, cold, answers[::2], answers[1::2]))


def _jobs(
    chat: Chat, contexts: Sequence[list[int]], question: str, answer_tokens: int
) -> list[Job]:
    question_ids = chat.question(question)
    return [Job(context + question_ids, answer_tokens) for context in contexts]


def _await(screen: Screen, label: str, *engines: EngineProcess) -> None:
    with screen.stage(label):
        for engine in engines:
            engine.wait_until_up()


def _ask(screen: Screen, label: str, engine: EngineProcess, jobs: Sequence[Job]) -> list[Answer]:
    answers = []
    with screen.stage(label) as detail:
        for number, job in enumerate(jobs, 1):
            detail(f"{number} of {len(jobs)}")
            answers.append(engine.answer(job))
    return answers


def _close(screen: Screen, label: str, engine: EngineProcess) -> None:
    with screen.stage(label):
        engine.close()
