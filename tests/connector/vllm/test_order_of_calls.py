"""In which order vLLM's runners call the worker's side at the end of a step, and what that changes."""

from __future__ import annotations

from contextlib import closing

import pytest

from kvtransfer.plan import Plan, Report, Save
from kvtransfer.requests.keys.weights import Expectation
from kvtransfer.requests.step import StepPlan
from tests.connector.vllm.worker_side import WEIGHTS, opened

pytestmark = pytest.mark.vllm

KEY = "a" * 32
FOREVER_S = 30.0


@pytest.fixture
def connector():
    """As a worker's process has it, without the configuration that vLLM would make it of."""
    from vllm.distributed.kv_transfer.kv_connector.v1.base import KVConnectorRole

    from kvtransfer.connector import KVTransferConnector

    with closing(opened()) as worker:
        made = KVTransferConnector.__new__(KVTransferConnector)
        made._role, made._worker = KVConnectorRole.WORKER, worker
        yield made


def usual_end(connector):
    """Saves begin before the report is made."""
    connector.wait_for_save()
    report = ask(connector)
    connector.clear_connector_metadata()
    return report


def end_behind_a_draft(connector):
    """Model Runner V2 since 0.33, where a speculator runs: the report goes first."""
    report = ask(connector)
    connector.wait_for_save()
    connector.clear_connector_metadata()
    return report


def ask(connector):
    results = connector.get_transfer_results(set())
    assert not results.finished_sending
    assert not results.finished_recving
    assert connector.get_block_ids_with_load_errors() == set()
    connector.get_kv_connector_stats()
    return connector.build_connector_worker_meta()


@pytest.mark.parametrize("end", [usual_end, end_behind_a_draft], ids=lambda end: end.__name__)
def test_a_save_is_reported_in_whatever_order_a_step_ends(connector, end):
    from kvtransfer.connector.vllm.messages import PlanMessage

    saving = StepPlan(Plan(saves=(Save(0, KEY, 0, (1, 2)),)), step=7)
    idle = StepPlan(poll_s=FOREVER_S, wants_report=True)
    reported, steps = Report(), []
    for number, plan in enumerate((saving, idle), 1):
        metadata = PlanMessage(plan, Expectation(number, (WEIGHTS,)))
        connector.handle_preemptions(metadata)
        connector.bind_connector_metadata(metadata)
        connector.start_load_kv(None)
        step = end(connector)
        reported.add(step.report)
        steps.append(step.step)
        if reported.copied:
            break
    assert (reported.copied, reported.failed) == ({0: 1}, set())
    assert [step for step in steps if step is not None] == [7]
