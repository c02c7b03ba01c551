"""docs/when-it-pays.md shows what the command prints, and figures that were measured."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from kvtransfer.cli import main

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "when-it-pays.md").read_text(encoding="utf-8")
BLOCKS = re.findall(
    r"^```console\n\$ kvtransfer (.*?[^\\])\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
)


def test_there_are_four_examples_and_the_first_shows_all():
    assert len(BLOCKS) == 4
    assert "not counted: encoding and decoding" in BLOCKS[0][1]


@pytest.mark.parametrize(("command", "shown"), BLOCKS, ids=lambda text: text.split()[3][-20:])
def test_a_block_is_what_its_command_prints(command, shown, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert main(shlex.split(command.replace("\\\n", " "))) == 0
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    lines = shown.splitlines()
    assert printed[: len(lines)] == lines
    assert printed[len(lines) :] == [] or printed[len(lines)] == ""  # whole, or without the notes


@pytest.mark.parametrize(
    ("file", "case", "impl", "said"),
    [
        ("NVIDIA-H200", "load/LBNHC/block16/8x128/bfloat16", "staged", "# GB/s with 8 KV heads"),
        ("NVIDIA-H200", "load/LBNHC/block16/1x128/bfloat16", "staged", "# with one"),
        ("NVIDIA-H200", "load/MLA/block64/1x576/bfloat16", "staged", "# for MLA"),
        ("disk", "get/32MiB/1", "kvtransfer", "gave #"),
        ("redis", "get/32MiB/redis7", "kvtransfer", "one Redis | # GB/s"),
        ("redis", "get/32MiB/valkey", "kvtransfer", "one Valkey #"),
        ("redis", "get/32MiB/redis7-tls", "kvtransfer", "with TLS #"),
        ("policy", "codec/int8/512 GiB", "naive", "rises from #"),
        ("policy", "codec/int8/512 GiB", "kvtransfer", "to # with `int8`"),
        ("policy", "codec/int4/512 GiB", "kvtransfer", "and # with `int4`"),
    ],
)
def test_a_figure_is_the_committed_result(file, case, impl, said):
    rows = (ROOT / "benchmarks" / "results" / f"{file}.jsonl").read_text().splitlines()
    values = {(row["case"], row["impl"]): row["value"] for row in map(json.loads, rows)}
    pattern = re.escape(said).replace(r"\#", r"(\d+\.\d+)")
    (figure,) = re.findall(pattern, " ".join(PAGE.split()))
    decimals = len(figure.partition(".")[2])
    assert f"{values[case, impl]:.{decimals}f}" == figure


def test_encoded_chunks_leave_room_for_more_tokens_in_the_committed_result():
    rows = (ROOT / "benchmarks" / "results" / "policy.jsonl").read_text().splitlines()
    codec = [row for row in map(json.loads, rows) if row["case"].startswith("codec/")]
    tokens = {(row["case"], row["impl"]): row["more"]["tokens"] for row in codec}
    assert len(tokens) == 18
    for (case, impl), held in tokens.items():
        least = {"int8": 1.8, "int5": 2.9, "int4": 3.4}[case.split("/")[1]]
        if impl == "kvtransfer":
            assert held >= least * tokens[case, "naive"]
