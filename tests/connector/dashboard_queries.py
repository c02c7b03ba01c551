"""What the queries of the dashboard and of the alert rules find in a Prometheus."""

from __future__ import annotations

import math
import time

from tests.connector.metric_names import NAME, expressions, filled, rules

WELL = "no store fails, no entry is damaged and no line overflows"
ROOM = "host memory and the disk hold all that is asked for"
SHARED = "one tenant asks, and has no quota"
UNLIMITED = "the store has no quotas here; test_each_metric counts both"
CHEAP = "with this margin every load pays"
IDLE = "nothing is under way when the queries are made"
MAY_BE_ZERO = {
    "kvtransfer:open_breakers": WELL,
    "kvtransfer:load_failed_chunks_total": WELL,
    "kvtransfer:put_failed_chunks_total": WELL,
    "kvtransfer:put_dropped_chunks_total": WELL,
    "kvtransfer:unverified_chunks_total": WELL,
    "kvtransfer:lookup_late_total": WELL,
    "kvtransfer:lost_announcements_total": WELL,
    "kvtransfer:promotion_dropped_chunks_total": WELL,
    "kvtransfer:save_skipped_chunks_total": ROOM,
    "kvtransfer:put_lost_chunks_total": ROOM,
    "kvtransfer:evicted_chunks_total": ROOM,
    "kvtransfer:quota_refused_chunks_total": SHARED,
    "kvtransfer:quota_evicted_chunks_total": SHARED,
    "kvtransfer:share_evicted_chunks_total": SHARED,
    "kvtransfer:remote_quota_evicted_entries_total": UNLIMITED,
    "kvtransfer:remote_quota_refused_entries_total": UNLIMITED,
    "kvtransfer:tenant_host_bytes": "the server that is left keeps nothing in host memory",
    "kvtransfer:refused_tokens_total": CHEAP,
    "kvtransfer:probed_chunks_total": CHEAP,
    "kvtransfer:prefetched_chunks_total": "no request waits for another one to end",
    "kvtransfer:loading_chunks": IDLE,
    "kvtransfer:waiting_fetches": IDLE,
    "kvtransfer:waiting_puts": IDLE,
}
"""Why a metric may be at zero here. A query about any other one is to find more."""


def alerted():
    """The names of all series that alert rules are about."""
    return {name for rule in rules() for name in NAME.findall(rule["expr"])}


def found(prometheus):
    """What each expression of the dashboard finds, once nothing is missing, or two minutes later."""
    deadline_s = time.monotonic() + 120
    while True:
        series = {each: prometheus.series(filled(each, "tiny", "1h")) for _, each in expressions()}
        if all(map(shows, series, series.values())) or time.monotonic() > deadline_s:
            return series
        time.sleep(0.5)


def shows(expression, series):
    """Whether there is a series, and where it can be, one that is not at zero."""
    values = [float(one["value"][1]) for one in series]
    if set(NAME.findall(expression)) <= MAY_BE_ZERO.keys():
        return bool(values) and not any(map(math.isnan, values))
    return any(value and not math.isnan(value) for value in values)
