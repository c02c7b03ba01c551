import pytest

from demo import prompts, smollm2, texts


@pytest.fixture(scope="module")
def chat():
    return prompts.Chat(smollm2.model_folder())


@pytest.fixture(scope="module")
def contexts(chat):
    return chat.contexts(texts.real_text(), 512, 3)


def test_a_context_is_exactly_as_long_as_asked(contexts):
    assert [len(context) for context in contexts] == [512, 512, 512]


def test_contexts_share_less_than_a_block_so_that_each_is_computed_cold(contexts):
    shared = [len(set(ids)) == 1 for ids in zip(*contexts, strict=True)].index(False)
    assert shared < 32


def test_a_prompt_reads_as_the_template_says(chat, contexts):
    prompt = contexts[0] + chat.question("What is light?")
    said = chat.words(prompt)  # without the marks
    assert said.startswith("system\nYou are a helpful AI assistant")
    assert f"\nuser\n{texts.real_text().body[:20]}" in said
    assert said.endswith("\n\nWhat is light?\nassistant")


def test_the_chat_marks_are_the_models_own(chat, contexts):
    start, end = 1, 2
    assert contexts[0][0] == start
    question = chat.question("Why?")
    assert question.count(end) == question.count(start) == 1
    assert question.index(end) < question.index(start)


def test_more_text_than_there_is_is_refused(chat):
    with pytest.raises(ValueError, match="holds 0 passages of"):
        chat.contexts(texts.Text("a line", "Light is bent."), 512, 1)
