from __future__ import annotations

from kvtransfer.worker.dropped_puts import DroppedPuts


def test_says_once_a_minute_how_many_and_what_to_change(caplog):
    now_s = 0.0
    dropped = DroppedPuts(limit=64, clock=lambda: now_s)
    for second in range(120):
        now_s = float(second)
        dropped.note()
    first, second = [record.getMessage() for record in caplog.records]
    assert " 1 puts dropped, because more than max_pending_puts=64 waited; raise it" in first
    assert " 60 puts dropped" in second
