import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from demo import texts


@pytest.fixture(scope="module")
def tokenizer():
    """One token a word: enough to count."""
    tokenizer = Tokenizer(models.WordLevel({"of": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def test_paragraphs_stay_and_line_breaks_go():
    assert texts.unwrap("a\nb\n\n\n  c \n d\n\ne\n") == "a b\n\n\nc d\n\ne"


def test_the_book_starts_at_its_first_definition():
    text = texts.opticks()
    assert text.body.startswith("DEFINITIONS")
    assert (
        "\n\n_By the Rays of Light I understand its least Parts, and those as well Successive"
        in text.body
    )
    assert len(text.body) > 500_000


def test_the_manual_is_long_enough_for_a_demo():
    assert len(texts.language_reference().body) > 200_000


def test_the_manual_stands_in_for_the_book(monkeypatch):
    monkeypatch.setattr(texts, "opticks", lambda: None)
    assert texts.real_text() == texts.language_reference()


def test_without_any_text_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(texts, "opticks", lambda: None)
    monkeypatch.setattr(texts, "language_reference", lambda: None)
    with pytest.raises(FileNotFoundError, match="install apache-tvm-ffi"):
        texts.real_text()


def test_passages_start_with_paragraphs_and_do_not_overlap(tokenizer):
    text = texts.Text("three paragraphs", "of a a a\n\n of of a\n\na of of")
    assert texts.passages(tokenizer, text, 2, 3) == [[0, 1], [0, 0], [1, 0]]


def test_a_passage_may_run_over_paragraphs(tokenizer):
    text = texts.Text("three paragraphs", "of a\n\nof of\n\na")
    assert texts.passages(tokenizer, text, 3, 1) == [[0, 1, 0]]
    assert texts.passages(tokenizer, text, 5, 1) == [[0, 1, 0, 0, 1]]


def test_more_passages_than_there_are_are_refused(tokenizer):
    text = texts.Text("two paragraphs", "of a\n\nof")
    with pytest.raises(ValueError, match="two paragraphs holds 1 passages of 2 tokens, not 2"):
        texts.passages(tokenizer, text, 2, 2)


def test_passages_of_the_book_are_long_enough_to_measure_with(tokenizer):
    found = texts.passages(tokenizer, texts.opticks(), 4096, 12)
    assert {len(passage) for passage in found} == {4096}
