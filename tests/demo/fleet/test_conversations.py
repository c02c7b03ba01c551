from __future__ import annotations

import pytest

from demo import prompts, smollm2
from demo.fleet.conversations import QUESTIONS, questions_of, with_answers


@pytest.fixture(scope="module")
def chat():
    return prompts.Chat(smollm2.model_folder())


def test_no_conversation_asks_twice_and_few_ask_alike():
    asked = [tuple(questions_of(number, 3)) for number in range(24)]
    assert all(len(set(questions)) == 3 for questions in asked)
    assert len(set(asked)) == 24
    assert {questions[0] for questions in asked} == set(QUESTIONS)


def test_each_prompt_holds_the_turns_before_it(chat):
    context = chat.contexts(prompts_text(), 64, 1)[0]
    answers = iter([chat.question("A.")[:2], [*chat.question("B.")[:2], 2]])
    first, second = with_answers(chat, context, ["Why?", "How?"], lambda ids: next(answers))
    assert list(first.prompt_ids[:64]) == context
    assert second.prompt_ids[: len(first.prompt_ids)] == first.prompt_ids
    said = chat.words(list(second.prompt_ids))
    assert said.endswith("\nuser\nHow?\nassistant")
    assert first.answer in said


def test_an_answer_that_ended_is_ended_once(chat):
    assert chat.without_end([7, 2]) == [7]
    assert chat.without_end([7]) == [7]
    assert chat.next_question("How?").count(2) == 2


def prompts_text():
    from demo.texts import Text

    return Text("a text", "Light is bent by glass. " * 40)
