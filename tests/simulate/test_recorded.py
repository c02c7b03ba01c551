"""What a trace says of itself: how long its chunks are, and when its requests came."""

import json

import pytest

from kvtransfer.cli import main
from kvtransfer.requests.trace_file import TraceFile
from kvtransfer.simulate.recorded import read_recorded
from kvtransfer.simulate.trace import TraceError


def written(path, *lines):
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def test_what_an_engine_recorded_says_its_chunk_size_and_how_long_it_took(tmp_path):
    times = iter([0.0, 0.0, 90.0])
    file = TraceFile(tmp_path / "trace.jsonl", 256, clock=lambda: next(times))
    for tokens in (600, 300):
        file.note(tokens, ["a", "b"])
    file.close()
    recorded = read_recorded(tmp_path / "trace.jsonl", None)
    assert (recorded.chunk_tokens, recorded.seconds, recorded.tokens) == (256, 90.0, 900)
    assert (recorded.chunks, recorded.distinct) == (3, 2)


def test_a_trace_that_says_nothing_has_mooncakes_chunks_and_no_duration(tmp_path):
    path = written(tmp_path / "trace.jsonl", {"tokens": 900, "hashes": [1]})
    recorded = read_recorded(path, None)
    assert (recorded.chunk_tokens, recorded.seconds) == (512, None)
    assert read_recorded(path, 256).chunk_tokens == 256


def test_a_csv_file_may_say_it_too(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("tokens,hashes,timestamp,chunk_tokens\n300,1,0,256\n600,1 2,4000,256\n")
    recorded = read_recorded(path, None)
    assert (recorded.chunk_tokens, recorded.seconds) == (256, 4.0)


@pytest.mark.parametrize(
    ("lines", "options", "said"),
    [
        (
            [{"tokens": 300, "hashes": [1], "chunk_tokens": 256}],
            ["--chunk-tokens", "512"],
            "trace.jsonl:1: its chunks have 256 tokens, not 512; leave out --chunk-tokens",
        ),
        (
            [
                {"tokens": 300, "hashes": [1], "chunk_tokens": 256},
                {"tokens": 300, "hashes": [1], "chunk_tokens": 128},
            ],
            [],
            "tokens; split it into a file for each size",
        ),
        (
            [{"tokens": 300, "hashes": [1], "timestamp": "noon"}],
            [],
            "trace.jsonl:1: 'noon' is not a timestamp; write milliseconds",
        ),
        (
            [{"tokens": 1024, "hashes": [1, 2, 3, 4]}],
            [],
            "say with --chunk-tokens how many tokens a hash stands for",
        ),
    ],
)
def test_what_contradicts_itself_is_said(tmp_path, capsys, lines, options, said):
    path = written(tmp_path / "trace.jsonl", *lines)
    assert main(["simulate", str(path), *options]) == 2
    assert said in capsys.readouterr().err


def test_sizes_are_not_mixed_in_silence(tmp_path):
    sizes = ({"tokens": 300, "hashes": [1], "chunk_tokens": size} for size in (256, 128))
    with pytest.raises(TraceError, match=r"its chunks have \d+ and \d+ tokens"):
        read_recorded(written(tmp_path / "trace.jsonl", *sizes), None)
