from __future__ import annotations

from benchmarks.bench_never_slower import LINES, Times, line_s, rows
from benchmarks.ttft_engines import BYTES_PER_TOKEN


def test_a_line_costs_its_bytes_and_two_delays():
    assert line_s(LINES["10MBps"], 20_000_000) == 2.0
    assert line_s(LINES["300ms"], 20_000_000) == 0.6
    assert line_s(LINES["unlimited"], 20_000_000) == 0.0


def test_the_better_choice_is_to_compute_or_a_load_as_slow_as_the_line():
    nbytes = 1000 * BYTES_PER_TOKEN
    wire_s = nbytes / 1e8
    times = Times([9.0], cold=[2.0], load=[0.25], kvtransfer=[1.0], fetched_bytes=[nbytes // 2])
    *measured, ratio = rows("100MBps", 1000, times)
    assert [row.impl for row in measured] == ["cold", "load", "learning", "kvtransfer"]
    assert measured[-1].more == {"restored": 0.5}
    assert ratio.value == 1.0 / (0.25 + wire_s)
    *_, ratio = rows("1MBps", 1000, times)
    assert ratio.value == 0.5
