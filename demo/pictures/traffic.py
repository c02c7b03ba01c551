"""Asks a vLLM about texts, again and again, so that there is something to see."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import cycle
from threading import Event, Thread
from typing import TYPE_CHECKING

from demo.fleet.child import ChildError
from demo.fleet.conversations import QUESTIONS, Turn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from demo.fleet.load import Client
    from demo.prompts import Chat

_BETWEEN_S = 0.5


def turns_about(chat: Chat, contexts: Sequence[list[int]]) -> list[Turn]:
    """Return a prompt for each of the questions about each of ``contexts``; answers don't matter."""
    return [
        Turn(tuple(context + chat.question(question)), answer="")
        for question in QUESTIONS
        for context in contexts
    ]


def ask_all(client: Client, turns: Sequence[Turn]) -> None:
    """Ask ``turns``, one after another.

    Raises:
        ChildError: one was not answered.
    """
    for turn in turns:
        if not client.ask(turn).is_answered:
            raise ChildError(f"no answer from {client.url}")


@contextmanager
def asking(client: Client, turns: Sequence[Turn]) -> Iterator[None]:
    """Ask ``turns``, over and over, while the body runs."""
    is_over = Event()

    def ask() -> None:
        for turn in cycle(turns):
            if is_over.wait(_BETWEEN_S):
                return
            client.ask(turn)

    thread = Thread(target=ask, name="traffic")
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
