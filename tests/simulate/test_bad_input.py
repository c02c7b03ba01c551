"""Whatever a user may write: one sentence that says where, the exit status 2, and nothing done."""

from __future__ import annotations

import json
import sys

import pytest

from kvtransfer.cli import main

GOOD = '{"tokens": 1000, "hashes": [1, 2]}\n'
HUGE = "9" * 5000


def refused(arguments, capsys):
    """What is said of ``arguments``."""
    try:
        status = main(["simulate", *arguments])
    except SystemExit as ended:
        status = ended.code
    said = capsys.readouterr()
    assert (status, said.out) == (2, "")
    assert said.err.startswith("kvtransfer: ")
    assert said.err.count("\n") == 1
    return said.err


def line(**values):
    return json.dumps({"tokens": 1000, "hashes": [1, 2]} | values) + "\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.jsonl").write_text(GOOD * 3)
    return tmp_path


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (GOOD + "\n" + "{\n", "bad.jsonl:3: this line is not JSON in column 2"),
        (GOOD + "[" * 100_000, "bad.jsonl:2: this line is not JSON"),
        (GOOD + f'{{"tokens": {HUGE}}}', "bad.jsonl:2: this line is not JSON"),
        (GOOD.encode() + b'{"tokens": "\xff"}', "bad.jsonl:2: this line is not UTF-8"),
        (GOOD + "[1]", "bad.jsonl:2: [1] is not an object; write one"),
        (GOOD + "null", "bad.jsonl:2: None is not an object"),
        (
            GOOD + '{"tokens": 3}',
            "bad.jsonl:2: this line has neither hash_ids and input_length nor",
        ),
        (
            GOOD + line(hashes=7),
            "bad.jsonl:2: the hashes 7 are not a list of whole numbers or strings",
        ),
        (GOOD + line(hashes={"a": 1}), "bad.jsonl:2: the hashes {'a': 1} are not a list"),
        (GOOD + line(hashes=[None]), "bad.jsonl:2: the hashes [None] are not a list"),
        (GOOD + line(hashes=[[1]]), "bad.jsonl:2: the hashes [[1]] are not a list"),
        (GOOD + line(hashes=[1.5]), "bad.jsonl:2: the hashes [1.5] are not a list"),
        (GOOD + line(hashes=[1, 1]), "bad.jsonl:2: a hash occurs twice in this line"),
        (GOOD + line(tokens=-5), "bad.jsonl:2: -5 is not a number of tokens; write a whole"),
        (GOOD + line(tokens=0), "bad.jsonl:2: 0 is not a number of tokens"),
        (GOOD + line(tokens=[1]), "bad.jsonl:2: [1] is not a number of tokens"),
        (GOOD + line(tokens=999.5), "bad.jsonl:2: 999.5 is not a number of tokens"),
        (GOOD + line(tokens=True), "bad.jsonl:2: True is not a number of tokens"),
        (GOOD + line(tokens=float("inf")), "bad.jsonl:2: inf is not a number of tokens"),
        (GOOD + line(tokens="few"), "bad.jsonl:2: 'few' is not a number of tokens"),
        (
            GOOD + line(tokens=400),
            "bad.jsonl:2: 2 hashes are more than 400 tokens fill in chunks of 512",
        ),
        ("", "bad.jsonl: it has no request with a hash"),
        (line(hashes=[]), "bad.jsonl: it has no request with a hash"),
    ],
)
def test_a_line_that_is_no_request(folder, capsys, content, said):
    written = content if isinstance(content, bytes) else content.encode()
    (folder / "bad.jsonl").write_bytes(written)
    assert refused(["bad.jsonl"], capsys).startswith(f"kvtransfer: {said}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("tokens,hashes\n1000,1 2\nfew,1 2\n", "bad.csv:3: 'few' is not a number of tokens"),
        ("tokens,hashes\n1000\n", "bad.csv:2: this line has neither hash_ids"),
        ("length,keys\n1000,1\n", "bad.csv:2: this line has neither hash_ids"),
        ("tokens,hashes\n1000,1,2\n", "bad.csv:2: this line has more cells than there are columns"),
        ('tokens,hashes\n1000,"1', "bad.csv:2: this line can't be read: unexpected end of data"),
        (f"tokens,hashes\n1000,{HUGE * 40}\n", "bad.csv:2: this line can't be read: field larger"),
    ],
)
def test_a_line_that_is_no_row(folder, capsys, content, said):
    (folder / "bad.csv").write_text(content)
    assert refused(["bad.csv"], capsys).startswith(f"kvtransfer: {said}")


def test_a_file_that_is_no_trace(folder, capsys):
    (folder / "folder.jsonl").mkdir()
    assert "trace.parquet: a trace is a .jsonl or a .csv" in refused(["trace.parquet"], capsys)
    assert "nowhere.jsonl: No such file or directory" in refused(["nowhere.jsonl"], capsys)
    assert "folder.jsonl: Is a directory" in refused(["folder.jsonl"], capsys)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "much"], "--host: 'much' is not a size; write GiB as in 64"),
        (["--host", "inf"], "--host: 'inf' is not a size"),
        (["--host", "inf%"], "--host: 'inf%' is not a size"),
        (["--host", "nan"], "--host: 'nan' is not a size"),
        (["--host", "-0.01"], "--host: '-0.01' is not a size"),
        (["--host", "5%,,"], "--host: '' is not a size"),
        (["--host", "0"], "--host 0 is too small for one chunk of 64 MiB; the trace has 2 chunks"),
        (["--host", "100%", "--disk", "0.01"], "--disk 0.01 is too small for one chunk of 64 MiB"),
        (["--host", "100%", "--remote", "1%"], "--remote 1% is too small for one chunk of 64 MiB"),
        (["--policy", "fifo"], "--policy: 'fifo' is not a policy; known are learned, lru, arc"),
        (["--admit-chance", "7"], "--admit-chance: '7' is not a probability from 0 to 1"),
        (["--admit-chance", "nan"], "--admit-chance: 'nan' is not a probability"),
        (["--token-bytes", "-1"], "--token-bytes: '-1' is not a whole number above 0"),
        (["--token-bytes", "0"], "--token-bytes: '0' is not a whole number above 0"),
        (["--chunk-tokens", "0"], "--chunk-tokens: '0' is not a whole number above 0"),
        (["--chunk-tokens", "2.5"], "--chunk-tokens: '2.5' is not a whole number above 0"),
        (["--prefill-tokens-per-s", "0"], "--prefill-tokens-per-s: '0' is not a number above 0"),
        (["--prefill-tokens-per-s", "nan"], "--prefill-tokens-per-s: 'nan' is not a number"),
        (["--host-gb-s", "0"], "--host-gb-s: '0' is not a number above 0"),
        (["--disk-gb-s", "-4"], "--disk-gb-s: '-4' is not a number above 0"),
        (["--remote-gb-s", "inf"], "--remote-gb-s: 'inf' is not a number above 0"),
        (["--plot", "sizes.odt"], "--plot: 'sizes.odt' does not end with .png or .svg"),
        (["--plot", "nowhere/a.svg"], "--plot: 'nowhere/a.svg' can't be written"),
        (["--plot", "folder.png"], "--plot: 'folder.png' can't be written"),
    ],
)
def test_an_option_that_cannot_be(folder, monkeypatch, capsys, arguments, said):
    (folder / "folder.png").mkdir()
    monkeypatch.setattr(
        "kvtransfer.simulate.replay_command.replayed", None
    )  # nothing may come so far
    assert said in refused(["good.jsonl", *arguments], capsys)


def test_a_library_that_is_missing(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    said = refused(["good.jsonl", "--plot", "a.png"], capsys)
    assert "--plot needs matplotlib" in said
    assert "pip install '.[simulate]'" in said


def test_what_does_not_matter_is_read(folder, capsys):
    """Empty lines, a mark of the encoding, more room than chunks, one size named twice."""
    (folder / "odd.jsonl").write_bytes(b"\xef\xbb\xbf" + GOOD.encode() + b"\r\n \n" + GOOD.encode())
    (folder / "odd.csv").write_text("tokens,hashes\n1000,1 2\n\n1000,1 2\n\n")
    tables = []
    for name in ("odd.jsonl", "odd.csv"):
        assert main(["simulate", name, "--host", "1e9,1e9", "--policy", "lru,lru"]) == 0
        tables.append(capsys.readouterr().out)
    assert tables[0].replace("odd.jsonl", "odd.csv") == tables[1]
    assert [row.split()[:3] for row in tables[0].splitlines()[8:9]] == [
        ["lru", "1,000,000,000", "0.500"]
    ]
