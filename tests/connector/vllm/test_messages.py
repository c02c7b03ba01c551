from __future__ import annotations

import json
import pickle

from kvtransfer.connector.summary import Totals
from kvtransfer.connector.vllm.messages import PlanMessage, ReportMessage
from kvtransfer.connector.vllm.stats import TransferStats
from kvtransfer.plan import Load, Plan, Report, Save
from kvtransfer.requests.keys.weights import Expectation, Holding
from kvtransfer.requests.step import StepPlan


def test_a_plan_reaches_a_worker_as_it_was():
    jobs = Plan((Load(1, "a", 2, True, (3, 4), 8),), (Save(2, "b", 0, (5,)),))
    plan = StepPlan(jobs, (), reuses_blocks=True, step=7, poll_s=0.1)
    step = PlanMessage(plan, Expectation(3, ("a",), reread=True))
    assert pickle.loads(pickle.dumps(step)) == step  # as vLLM sends it


def test_reports_of_workers_are_summed_and_left_alone():
    one, two = ReportMessage(Report({1: 1}, {}, {2: 1}, {1})), ReportMessage(Report({1: 1}, {3: 1}))
    assert one.aggregate(two).report == Report({1: 2}, {3: 1}, {2: 1}, {1})
    assert (one.report.loaded, two.report.loaded) == ({1: 1}, {1: 1})
    first, second = Holding("a", 1), Holding("b", 1)
    told = ReportMessage(weights={0: first}).aggregate(ReportMessage(weights={1: second}))
    assert told.weights == {0: first, 1: second}


def test_statistics_add_up_and_are_plain():
    one = {"put_bytes": 1.0, "put_seconds": [0.5], "waiting_puts": 2}
    two = {"put_bytes": 2.0, "put_seconds": [1.5, 1.0], "waiting_puts": 1, "open_breakers": 1}
    stats = TransferStats(dict(one)).aggregate(TransferStats(dict(two)))
    sums = {"put_bytes": 3.0, "put_seconds": [0.5, 1.5, 1.0], "waiting_puts": 2, "open_breakers": 1}
    assert json.loads(json.dumps(stats.to_dict())) == sums
    assert not stats.is_empty()
    stats.reset()
    assert stats.is_empty()


def test_of_a_gauge_of_tenants_the_highest_is_kept():
    one, two = ({"tenant_host_bytes": held} for held in ({"none": 3, "a": 1}, {"none": 2, "b": 5}))
    stats = TransferStats(one).aggregate(TransferStats(two))
    assert stats.data == {"tenant_host_bytes": {"none": 3, "a": 1, "b": 5}}
    assert "lost" not in stats.reduce()


def test_what_vllm_logs_is_for_people():
    counted = {
        "host_hit_tokens": 512,
        "store_hit_tokens": 1536,
        "disk_fetched_tokens": 3072,
        "remote_fetched_tokens": 1024,
        "load_seconds": [0.1, 0.25],
        "predicted_prefill_seconds": 2.4,
        "saved_tokens": 256,
        "put_dropped_chunks": 2,
        "load_failed_chunks": 1,
        "waiting_puts": 3,
    }
    assert TransferStats(counted).reduce() == {
        "restored": "2048 tokens (512 from host memory, 1536 from disk and store, 75% of it from "
        "disk) in 0.35 s instead of 2.40 s",
        "saved": "256 tokens",
        "lost": "3 chunks (1 not loaded, 2 dropped before the store)",
    }
    assert TransferStats({"waiting_puts": 3}).reduce() == {
        "restored": "0 tokens",
        "saved": "0 tokens",
    }


def test_totals_add_up_what_was_counted():
    totals = Totals()
    for _ in range(2):
        totals.add({"host_hit_tokens": 64, "load_seconds": [0.5, 0.25], "waiting_puts": 9})
    assert str(totals) == (
        "restored 128 tokens (128 from host memory, 0 from store) in 1.50 s, saved 0 tokens"
    )
