"""What ``kvtransfer simulate --break-even`` prints, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from kvtransfer.cli import main
from tests.simulate.break_even.configs import DELTA_NET, LLAMA, MLA


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, fields in {"llama": LLAMA, "qwen": DELTA_NET, "mla": MLA}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(fields))
    return tmp_path


def printed(capsys, *options):
    assert main(["simulate", "--break-even", *options]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    return told.out


def cells(text, title):
    """The cells of each row below ``title``, by the row's name."""
    lines = text.splitlines()
    rows = lines[lines.index(title.ljust(len(lines[2]))) + 1 :]
    found = {}
    for row in rows:
        if not row.strip():
            break
        name, *values = row.rsplit(maxsplit=5)
        found[name.strip()] = values
    return found


def test_the_table_shows_bytes_times_and_from_where_a_load_pays(folder, capsys):
    options = ("--model", "llama.json", "--prefill-tokens-per-s", "20000")
    text = printed(capsys, *options, "--remote-gb-s", "1,3")
    assert text.splitlines()[0] == "llama.json: bfloat16, chunks of 256 tokens"
    assert text.splitlines()[2].split() == ["naive", "lossless", "int8", "int5", "int4"]
    assert cells(text, "bytes a token") == {
        "full attention, 32 layers": ["131,072", "90,022", "69,632", "45,056", "37,376"]
    }
    assert cells(text, "ms a chunk; to compute: 12.8") == {
        "host, 20 GB/s": ["1.68", "1.68", "0.891", "0.577", "0.478"],
        "disk, 4 GB/s": ["8.39", "5.76", "4.46", "2.88", "2.39"],
        "remote, 1 GB/s": ["33.6", "23", "17.8", "11.5", "9.57"],
        "remote, 3 GB/s": ["11.2", "7.68", "5.94", "3.84", "3.19"],
    }
    assert cells(text, "a load pays from, tokens") == {
        "host, 20 GB/s": ["256"] * 5,
        "disk, 4 GB/s": ["256"] * 5,
        "remote, 1 GB/s": ["never", "never", "never", "256", "256"],
        "remote, 3 GB/s": ["256"] * 5,
    }


def test_windows_and_states_have_rows_of_their_own(folder, capsys):
    text = printed(capsys, "--model", "qwen.json", "--block-size", "64")
    states = cells(text, "bytes of the end of a prefix, at most")
    assert states == {"states, 24 layers": ["26,345,472"] * 5}


def test_codecs_that_fit_no_layer_are_left_out_and_the_block_size_that_helps_is_named(
    folder, capsys
):
    text = printed(capsys, "--model", "qwen.json")
    assert text.splitlines()[2].split() == ["naive", "lossless"]
    said = "int8, int5, int4 fit no layer of this model: "
    assert said in text
    assert "with --block-size 64 they do" in " ".join(text.split())
    assert main(["simulate", "--break-even", "--model", "qwen.json", "--codec", "int8"]) == 2
    assert "kvtransfer: int8 fit no layer of this model" in capsys.readouterr().err
    eight_bits = printed(capsys, "--kv-cache-dtype", "fp8", "--codec", "naive,int8")
    assert "int8 fit no layer" in eight_bits
    assert "--block-size" not in eight_bits


def test_a_local_chunk_is_counted_although_the_longest_prefix_ends_with_one(folder, capsys):
    fields = {**LLAMA, "model_type": "llama4_text", "no_rope_layer_interval": 4}
    (folder / "local.json").write_text(json.dumps({**fields, "attention_chunk_size": 8192}))
    text = printed(capsys, "--model", "local.json", "--codec", "naive,int8,int5,int4,lossless")
    local = cells(text, "bytes of the end of a prefix, at most")
    most = 24 * 2 * 8 * 128 * 2 * (8192 - 256)
    assert local["local chunks of 8,192 tokens, 24 layers"][0] == f"{most:,}"


def test_the_assumptions_are_named(folder, capsys):
    options = ("--model", "mla.json", "--tensor-parallel-size", "4", "--load-margin", "1.5")
    text = " ".join(
        printed(capsys, *options, "--prefill-tokens-per-s", "2e4@2000,1e4@9000").split()
    )
    for said in (
        "mla.json on 4 tensor-parallel ranks: bfloat16",
        "computing n tokens takes n x (35.7 us + 14.3 ns x n / 2)",
        "2 round trips of 0.2 ms",
        "at most 1.5 (load_margin) x computing as much; never: not up to 131,072 tokens",
        "bytes are those of all 4 ranks",
        "lossless: only stores hold it; 1.456 x smaller in bfloat16, as measured on one small model",
        "not counted: encoding and decoding",
    ):
        assert said in text


def test_json_has_the_same_figures_without_rounding(folder, capsys):
    options = ("--model", "llama.json", "--prefill-tokens-per-s", "20000", "--codec", "naive,int4")
    found = json.loads(printed(capsys, *options, "--remote-gb-s", "1", "--json"))
    assert found["chunk_tokens"] == 256
    assert found["prefill"]["first_chunk_s"] == pytest.approx(0.0128)
    assert found["layers"][0]["token_bytes"] == {"naive": 131_072, "int4": 37_376}
    remote = {load["codec"]: load for load in found["loads"] if load["tier"] == "remote"}
    assert remote["naive"]["chunk_s"] == pytest.approx(256 * 131_072 / 1e9)
    assert remote["naive"]["pays_from_tokens"] is None
    assert remote["int4"]["pays_from_tokens"] == 256


def test_without_a_model_the_bytes_of_a_token_are_enough(folder, capsys):
    text = printed(capsys, "--token-bytes", "327680", "--tensor-parallel-size", "8")
    assert text.startswith("327,680 bytes a token on 8 tensor-parallel ranks: bfloat16")
    assert cells(text, "bytes a token")["any layers"][0] == "327,680"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "none.json"], "--model none.json: No such file or directory"),
        (["--model", "."], "--model config.json: No such file or directory"),
        (["--model", "llama.json", "--tensor-parallel-size", "3"], "can't share 8 KV heads; give"),
        (
            ["--tensor-parallel-size", "3"],
            "--token-bytes 131072 can't be keys and values of bfloat16",
        ),
        (
            ["--kv-cache-dtype", "int3"],
            "--kv-cache-dtype: 'int3' is not known; known are auto, bfl",
        ),
        (
            ["--codec", "zip"],
            "--codec: 'zip' is no codec; known are naive, lossless, int8, int5",
        ),
        (["--block-size", "48"], "--chunk-tokens 256 is no multiple of --block-size 48"),
        (["--remote-gb-s", "1,,2"], "--remote-gb-s: '' is not a number above 0"),
        (["--remote-gb-s", "0"], "--remote-gb-s: '0' is not a number above 0"),
        (["--round-trip-ms", "-1"], "--round-trip-ms: '-1' is not a number above 0"),
        (["--load-margin", "0"], "--load-margin: '0' is not a number above 0"),
        (
            ["--prefill-tokens-per-s", "9@5,8"],
            "'9@5,8' is neither a number above 0 nor two of them",
        ),
        (["--prefill-tokens-per-s", "9@5,8@5"], "'9@5,8@5' is neither a number above 0 nor two"),
        (["--prefill-tokens-per-s", "9@x"], "'x' is not a whole number above 0"),
        (
            ["--prefill-tokens-per-s", "8@1,9@2"],
            "longer prompts take a little longer for each token",
        ),
        (["trace.jsonl"], "TRACE doesn't go with --break-even; leave out one of them"),
        (["--plot", "a.png"], "--plot doesn't go with --break-even; leave out one of them"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(folder, capsys, options, said):
    try:
        status = main(["simulate", "--break-even", *options])
    except SystemExit as ended:
        status = ended.code
    told = capsys.readouterr()
    assert (status, told.out) == (2, "")
    assert said in told.err
    assert told.err.count("\n") == 1


@pytest.mark.parametrize("option", [["--load-margin", "2"], ["--round-trip-ms", "1"]])
def test_a_replay_is_not_asked_for_it(option, folder, capsys):
    assert main(["simulate", "trace.jsonl", *option]) == 2
    told = capsys.readouterr().err
    assert f"{option[0]} doesn't go with TRACE; leave out one of them" in told


def test_without_a_question_it_says_what_to_ask(capsys):
    assert main(["simulate"]) == 2
    assert "name a TRACE to replay, or --break-even" in capsys.readouterr().err


def test_neither_torch_nor_vllm_nor_rich_is_needed_for_json(folder):
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'vllm', 'rich', 'pydantic']))\n"
        "from kvtransfer.cli import main\n"
        "sys.exit(main(['simulate', '--break-even', '--model', 'llama.json', '--json']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"] == "llama.json"


def test_without_rich_the_tables_say_what_to_install(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.table", None)
    monkeypatch.delitem(sys.modules, "kvtransfer.simulate.break_even.table", raising=False)
    assert main(["simulate", "--break-even"]) == 2
    assert "simulate needs rich" in capsys.readouterr().err
