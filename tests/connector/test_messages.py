from __future__ import annotations

import json
import pickle

from kvtransfer.connector.plan import StepPlan, StepReport
from kvtransfer.connector.stats import TransferStats
from kvtransfer.connector.weights_news import Expectation, Holding
from kvtransfer.plan import Load, Plan, Report, Save


def test_a_plan_reaches_a_worker_as_it_was():
    plan = Plan((Load(1, "a", 2, True, (3, 4), 8),), (Save(2, "b", 0, (5,)),), True, 7, 0.1)
    step = StepPlan(plan, Expectation(3, ("a",), reread=True))
    assert pickle.loads(pickle.dumps(step)) == step  # as vLLM sends it


def test_reports_of_workers_are_summed_and_left_alone():
    one, two = StepReport(Report({1: 1}, {}, {2: 1}, {1})), StepReport(Report({1: 1}, {3: 1}))
    assert one.aggregate(two).report == Report({1: 2}, {3: 1}, {2: 1}, {1})
    assert (one.report.loaded, two.report.loaded) == ({1: 1}, {1: 1})
    first, second = Holding("a", 1), Holding("b", 1)
    told = StepReport(weights={0: first}).aggregate(StepReport(weights={1: second}))
    assert told.weights == {0: first, 1: second}


def test_statistics_add_up_and_are_plain():
    one = {"put_bytes": 1.0, "put_seconds": [0.5], "waiting_puts": 2}
    two = {"put_bytes": 2.0, "put_seconds": [1.5, 1.0], "waiting_puts": 1, "open_breakers": 1}
    stats = TransferStats(dict(one)).aggregate(TransferStats(dict(two)))
    sums = {"put_bytes": 3.0, "put_seconds": [0.5, 1.5, 1.0], "waiting_puts": 2, "open_breakers": 1}
    assert json.loads(json.dumps(stats.to_dict())) == sums
    assert stats.reduce() == {**sums, "put_seconds": 3.0}
    assert not stats.is_empty()
    stats.reset()
    assert stats.is_empty()
