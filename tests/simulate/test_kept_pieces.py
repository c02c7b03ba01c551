"""What a model's config says of a replay's pieces: bytes, cache groups, codecs, ranks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvtransfer.chunks.reach import Everything, State, Window
from kvtransfer.cli import main
from kvtransfer.errors import ConfigError
from kvtransfer.simulate.break_even.model_config import read_config
from kvtransfer.simulate.kept_pieces import pieces_of_model
from tests.simulate.break_even.configs import DELTA_NET, MLA, WINDOWS, config

MODELS = Path(__file__).parents[2] / "examples" / "models"


def pieces(fields=None, ranks=1, chunk_tokens=512, block_tokens=16, codec="naive", dtype=None):
    of = config(fields) if fields else config()
    return pieces_of_model(of, dtype, ranks, chunk_tokens, block_tokens, codec)


def test_full_attention_is_one_group_of_all_layers():
    kept = pieces()
    assert kept.reaches == (Everything(),)
    assert kept.token_bytes == 131_072
    assert pieces(dtype="float8_e4m3fn").token_bytes == 65_536


@pytest.mark.parametrize(("name", "ranks"), [("llama-3.1-70b", 8), ("deepseek-v3", 8)])
def test_bytes_are_those_that_the_page_about_break_evens_shows(name, ranks):
    kept = pieces_of_model(read_config(MODELS / f"{name}.json"), None, ranks, 256, 16, "naive")
    page = (MODELS.parents[1] / "docs" / "when-it-pays.md").read_text()
    assert f"{kept.token_bytes:,.0f}" in page


def test_ranks_share_heads_and_each_keeps_all_of_a_latent():
    assert pieces(ranks=4).token_bytes == 131_072
    assert pieces(MLA, ranks=4).token_bytes == 4 * pieces(MLA).token_bytes


def test_windows_are_groups_beside_those_that_read_everything():
    kept = pieces(WINDOWS)
    assert kept.reaches == (Everything(), Window(128))
    assert kept.token_bytes == 131_072


def test_kinds_with_more_layers_are_several_groups_of_equal_pieces():
    kept = pieces(DELTA_NET, chunk_tokens=272)
    assert sorted(map(str, kept.reaches)) == sorted(
        map(str, [Everything(), State(), State(), State()])
    )


def test_states_need_chunks_of_their_own_length():
    with pytest.raises(
        ConfigError, match="its chunks have 272 tokens and those of the trace have 512"
    ):
        pieces(DELTA_NET)


def test_a_codec_makes_pieces_smaller_where_it_fits():
    assert pieces(codec="int8").ratio == pytest.approx(1.88, abs=0.01)
    assert pieces(codec="lossless").ratios.keys() == {"disk", "remote"}
    assert pieces(codec="int8").ratios.keys() == {"host", "disk", "remote"}
    with pytest.raises(ConfigError, match="--codec int8 with states is not simulated"):
        pieces(DELTA_NET, chunk_tokens=320, block_tokens=64, codec="int8")
    with pytest.raises(ConfigError, match=r"--codec int8 fits no layer of config\.json"):
        pieces(codec="int8", dtype="float8_e4m3fn")


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text('{"tokens": 1024, "hashes": [1, 2]}\n' * 3)
    return path


def test_a_replay_takes_the_model(trace, capsys):
    options = ["--host", "100%", "--policy", "lru", "--model", str(MODELS / "llama-3.1-70b.json")]
    more = ["--tensor-parallel-size", "8", "--codec", "int8", "--json"]
    assert main(["simulate", str(trace), *options, *more]) == 0
    assumed = json.loads(capsys.readouterr().out)["assumptions"]
    assert assumed["token_bytes"] == 327_680
    assert assumed["host_piece_bytes"] == 512 * 174_080
    assert assumed["host_gb_s"] == 160.0  # each rank has a bus
    assert (assumed["codec"], assumed["tensor_parallel_size"]) == ("int8", 8)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--token-bytes", "7"], "--token-bytes doesn't go with --model; leave out one of them"),
        (["--groups", "full"], "--groups doesn't go with --model"),
        (["--block-size", "48"], "chunks of 512 tokens are no multiple of --block-size 48"),
        (["--tensor-parallel-size", "3"], "--tensor-parallel-size 3 can't share 8 KV heads"),
    ],
)
def test_what_does_not_fit_a_model_is_said(trace, capsys, options, said):
    model = ["--model", str(MODELS / "llama-3.1-8b.json")]
    assert main(["simulate", str(trace), *model, *options]) == 2
    assert said in capsys.readouterr().err
