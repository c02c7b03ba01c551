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


def test_passages_meet_without_overlap(tokenizer):
    text = texts.Text("three words", "of a of")
    assert texts.passage(tokenizer, text, 2) == [0, 1]
    assert texts.passage(tokenizer, text, 1, start=2) == [0]


def test_a_passage_past_the_end_is_refused(tokenizer):
    with pytest.raises(ValueError, match="three words has 3 tokens, asked for 2 to 4"):
        texts.passage(tokenizer, texts.Text("three words", "of a of"), 2, start=2)
