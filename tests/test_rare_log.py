import logging

from kvtransfer.rare_log import RareLog
from tests.fake_clock import FakeClock


def test_each_minute_has_one_line_with_the_count_so_far(caplog):
    clock = FakeClock()
    log = RareLog(clock)
    with caplog.at_level(logging.WARNING, "kvtransfer"):
        for second in range(150):
            clock.now_s = float(second)
            log.warn("it fails")
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [f"it fails ({count} so far)" for count in (1, 61, 121)]


def test_what_was_not_expected_is_told_with_its_place(caplog):
    log = RareLog()
    for text in ("first\n", "second"):
        try:
            raise KeyError(text)
        except KeyError as error:
            log.warn_unexpected("oh", error)
    (record,) = caplog.records
    assert "test_what_was_not_expected_is_told_with_its_place" in record.getMessage()
    assert "KeyError: 'first" in record.getMessage()
