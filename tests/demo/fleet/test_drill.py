"""The whole drill with every real part but vLLM, in whose place servers answer at once."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from io import StringIO

from rich.console import Console

from demo.fleet.child import free_port
from demo.fleet.conversations import Turn
from demo.fleet.drill import drill, start
from demo.fleet.load import Client
from demo.fleet.redis_service import RedisService
from demo.report import Screen
from tests.demo.fleet.children import Stub

PARTS = [[[Turn((1, 2, 3, 4), "yes")] * 2] * 6 for _ in range(3)]


def test_users_of_a_fleet_notice_nothing_of_what_is_killed(tmp_path):
    screen = Screen(Console(file=StringIO()))
    with ExitStack() as running:
        redis = running.enter_context(RedisService(tmp_path, max_mib=64))
        stubs = [Stub(f"stub-{i}", free_port(), seconds=0.1) for i in range(2)]
        fleet = start(running, screen, redis, stubs, tmp_path)
        before = fleet.instances[-1]
        outcome = drill(screen, fleet, Client(fleet.router_url, 4), PARTS)
        assert fleet.instances[-1] is not before
        assert all(instance.is_up() for instance in fleet.instances)
    assert outcome.problems() == []
    assert [len(outcome.before.replies), len(outcome.after.replies)] == [12, 12]
    assert [phase.hit_rate for phase in outcome.phases.values()] == [0.5] * 3
    has_prometheus = shutil.which("prometheus") is not None
    assert (outcome.after.restored_tokens is not None) == has_prometheus
