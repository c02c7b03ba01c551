"""Makes conversations about shared contexts whose right answers are known beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from demo.prompts import Chat

QUESTIONS = (
    "What is this text about?",
    "Which words of this text matter most?",
    "Who might have written this text?",
    "What would you ask its author?",
    "Is there a number in this text?",
    "How does this text begin?",
    "How does this text end?",
    "What does this text not say?",
)


@dataclass(frozen=True)
class Turn:
    """A prompt, which holds the turns before it, and its right answer."""

    prompt_ids: tuple[int, ...]
    answer: str


def questions_of(number: int, turns: int) -> list[str]:
    """Return ``turns`` questions for conversation ``number``; the first ones differ most."""
    step = 1 + number // len(QUESTIONS) % (len(QUESTIONS) - 1)
    return [QUESTIONS[(number + turn * step) % len(QUESTIONS)] for turn in range(turns)]


def with_answers(
    chat: Chat,
    context: Sequence[int],
    questions: Sequence[str],
    ask: Callable[[list[int]], list[int]],
) -> list[Turn]:
    """Hold a conversation with a model whose answers are right.

    Args:
        chat: encodes questions.
        context: the token ids that the first prompt begins with.
        questions: one for each turn.
        ask: returns the token ids of the answer to a prompt.
    """
    turns, prompt_ids = [], list(context)
    for number, question in enumerate(questions):
        prompt_ids = prompt_ids + (chat.next_question if number else chat.question)(question)
        answer_ids = ask(prompt_ids)
        turns.append(Turn(tuple(prompt_ids), chat.words(answer_ids)))
        prompt_ids = prompt_ids + chat.without_end(answer_ids)
    return turns
