import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_table_on_the_first_screen_is_the_committed_result():
    rows = (ROOT / "benchmarks" / "results" / "ttft-cpu.jsonl").read_text().splitlines()
    seconds = {(row["case"], row["impl"]): row["value"] for row in map(json.loads, rows)}
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| ([\d,]+) tokens, .* \|$", text, re.MULTILINE)
    assert len(lines) == 3
    for context in (int(line.replace(",", "")) for line in lines):
        (shown,) = re.findall(rf"^\| {context:,} tokens, [^|]*\|(.*)\|$", text, re.MULTILINE)
        cells = [float(cell.split()[0]) for cell in shown.split("|")]
        redis, host = (f"restored/{context}/{tier}/block128" for tier in ("redis", "host"))
        measured = [(redis, "cold"), (redis, "kvtransfer"), (host, "kvtransfer")]
        for cell, key in zip(cells, [*measured, (redis, "local_hit")], strict=True):
            assert abs(cell - seconds[key]) <= (0.0501 if key[1] == "cold" else 0.00501)
