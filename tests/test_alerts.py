"""The alert rules and the dashboard, judged by the tool that comes with Prometheus."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
import yaml

from tests.connector.metric_names import RULES, asked, expressions, filled, rules, table

LABELS = 'job="vllm",instance="host:8000",model_name="m"'
STEADY_PROMPTS = {"vllm:prompt_tokens_total": "0+60000x400"}

ALARMS = {
    "KVTransferStoreFails": {"kvtransfer:open_breakers": "1x400"},
    "KVTransferDamagedEntries": {"kvtransfer:unverified_chunks_total": "0x200 1x200"},
    "KVTransferPutsDropped": {"kvtransfer:put_dropped_chunks_total": "0+60x400"},
    "KVTransferPutsFail": {"kvtransfer:put_failed_chunks_total": "0+60x400"},
    "KVTransferLoadsFail": {"kvtransfer:load_failed_chunks_total": "0+60x400"},
    "KVTransferLookupsLate": {"kvtransfer:lookup_late_total": "0+60x400"},
    "KVTransferSlowerThanComputing": {
        "kvtransfer:load_seconds_sum": "0+30x400",
        "kvtransfer:predicted_prefill_seconds_total": "0+10x400",
    },
    "KVTransferRestoresNothing": {
        **STEADY_PROMPTS,
        "vllm:external_prefix_cache_hits_total": "0+10x400",
    },
}
WELL = {
    **STEADY_PROMPTS,
    "vllm:external_prefix_cache_hits_total": "0+30000x400",
    "kvtransfer:open_breakers": "0x400",
    "kvtransfer:unverified_chunks_total": "7x400",
    "kvtransfer:put_dropped_chunks_total": "3x400",
    "kvtransfer:put_failed_chunks_total": "0x400",
    "kvtransfer:load_failed_chunks_total": "5x400",
    "kvtransfer:lookup_late_total": "1x400",
    "kvtransfer:load_seconds_sum": "0+10x400",
    "kvtransfer:predicted_prefill_seconds_total": "0+90x400",
}


def promtool(*arguments):
    tool = shutil.which("promtool")
    assert tool, "no promtool: run scripts/install_system_packages"
    return subprocess.run([tool, *map(str, arguments)], capture_output=True, text=True, check=False)


def firing(series, tmp_path):
    """The names of the rules that fire after some hours of ``series``."""
    none_fires = [{"eval_time": "210m", "alertname": rule["alert"]} for rule in rules()]
    samples = [
        {"series": f"{name}{{{LABELS}}}", "values": values} for name, values in series.items()
    ]
    case = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": samples, "alert_rule_test": none_fires}],
    }
    path = tmp_path / "case.yml"
    path.write_text(yaml.safe_dump(case))
    done = promtool("test", "rules", path)
    said = done.stdout + done.stderr
    fired = re.findall(r"alertname: (\w+), time", said)
    assert bool(fired) == bool(done.returncode), said
    return fired


def test_the_rules_are_well_formed():
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_about_metrics_that_there_are():
    names = {name for rule in rules() for name in asked(rule["expr"])}
    assert {name for name in names if name.startswith("kvtransfer:")} <= set(table())


def test_the_expressions_of_the_dashboard_are_well_formed(tmp_path):
    """As Grafana fills them in."""
    listed = [
        {"record": f"panel:{i}", "expr": filled(expression)}
        for i, (_, expression) in enumerate(expressions())
    ]
    path = tmp_path / "dashboard.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": listed}]}))
    done = promtool("check", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_rule_has_a_case():
    assert [rule["alert"] for rule in rules()] == list(ALARMS)
    assert all({"summary", "action"} == set(rule["annotations"]) for rule in rules())


def test_nothing_fires_where_all_is_well(tmp_path):
    assert firing(WELL, tmp_path) == []


@pytest.mark.parametrize("name", ALARMS)
def test_a_rule_fires_alone(name, tmp_path):
    assert firing({**WELL, **ALARMS[name]}, tmp_path) == [name]
