"""Starts a fleet, holds conversations with it, and kills an instance and the Redis master meanwhile."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from demo.fleet import prometheus, router, vllm
from demo.fleet.child import free_port
from demo.fleet.counters import counted
from demo.fleet.load import again_until, hold
from demo.fleet.outcome import Outcome, Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import ExitStack
    from pathlib import Path

    from demo.fleet.child import Child
    from demo.fleet.conversations import Turn
    from demo.fleet.load import Client, Reply
    from demo.fleet.prometheus import Prometheus
    from demo.fleet.redis_service import RedisService
    from demo.fleet.vllm import VllmCommand
    from demo.report import Screen

RESTORED_TOKENS = "vllm:external_prefix_cache_hits_total"
_RUNNING = "vllm:num_requests_running"
_RETRIES = "vllm_router_retries_total"
_BUSY_S = 30.0


@dataclass(frozen=True)
class Fleet:
    """The parts of a fleet that is up."""

    commands: Sequence[VllmCommand]
    instances: list[Child]
    """One for each of ``commands``; a killed one is replaced by its successor."""
    redis: RedisService
    router_url: str
    router_metrics_url: str
    prometheus: Prometheus | None
    logs: Path

    def restart(self, number: int) -> None:
        """Start the instance ``number`` again and wait until it answers."""
        self.instances[number] = self.commands[number].start(self.logs)
        self.instances[number].wait_until_up(vllm.START_S)

    def close(self) -> None:
        """End the instances; those that run end the better part of their work first."""
        for instance in self.instances:
            instance.close()


def start(
    running: ExitStack,
    screen: Screen,
    redis: RedisService,
    commands: Sequence[VllmCommand],
    logs: Path,
) -> Fleet:
    """Start everything before the Redis service; all of it ends with ``running``."""
    port, metrics_port = free_port(), free_port()
    fleet = Fleet(
        commands,
        [command.start(logs) for command in commands],
        redis,
        f"http://127.0.0.1:{port}",
        f"http://127.0.0.1:{metrics_port}",
        _prometheus(running, commands, logs),
        logs,
    )
    running.callback(fleet.close)
    with screen.stage(f"{len(commands)} vLLM instances start"):
        for instance in fleet.instances:
            instance.wait_until_up(vllm.START_S)
    with screen.stage("vllm-router in front of them"):
        workers = [command.url for command in commands]
        front = running.enter_context(router.start_router(workers, port, metrics_port, logs))
        front.wait_until_up(router.START_S)
    return fleet


def drill(
    screen: Screen, fleet: Fleet, client: Client, parts: Sequence[Sequence[Sequence[Turn]]]
) -> Outcome:
    """Hold the conversations of three ``parts``; in the second, kill one instance and the master."""
    with screen.stage("conversations with the whole fleet"):
        before = _phase(fleet, lambda: hold(client, parts[0]))
    with screen.stage("an instance and the Redis master are killed meanwhile") as detail:
        during = _phase(fleet, lambda: _failing(fleet, client, parts[1], detail))
    with screen.stage("conversations with the fleet made whole"):
        after = _phase(fleet, lambda: hold(client, parts[2]))
    return Outcome(before, during, after, int(counted(fleet.router_metrics_url, _RETRIES)))


def _failing(
    fleet: Fleet,
    client: Client,
    conversations: Sequence[Sequence[Turn]],
    detail: Callable[[str], None],
) -> list[Reply]:
    """Hold conversations until what was killed has been replaced."""
    with _held(client, conversations) as replies:
        _wait_until_busy(fleet.commands[-1])
        fleet.instances[-1].kill()
        fleet.redis.kill_master()
        detail("a replica takes over")
        fleet.redis.wait_for_new_master()
        detail("the instance starts again")
        fleet.restart(len(fleet.instances) - 1)
    return replies


@contextmanager
def _held(client: Client, conversations: Sequence[Sequence[Turn]]) -> Iterator[list[Reply]]:
    """Hold conversations while the body runs; the list is filled once it has ended."""
    is_over = Event()
    replies: list[Reply] = []
    with ThreadPoolExecutor(1) as thread:
        held = thread.submit(hold, client, again_until(is_over, conversations))
        try:
            yield replies
        finally:
            is_over.set()
        replies += held.result()


def _wait_until_busy(command: VllmCommand) -> None:
    """Wait until the instance answers a request, so that its end hits one."""
    deadline_s = time.monotonic() + _BUSY_S
    while not counted(command.url, _RUNNING) and time.monotonic() < deadline_s:
        time.sleep(0.02)


def _phase(fleet: Fleet, run: Callable[[], list[Reply]]) -> Phase:
    began_s = time.monotonic()
    replies = run()
    seconds = time.monotonic() - began_s
    if fleet.prometheus is None:
        return Phase(replies, seconds)
    time.sleep(prometheus.SCRAPE_S)  # the last tokens are counted at its next visit
    since_s = (
        time.monotonic() - began_s + prometheus.INTERVAL_S
    )  # and the first ones after this one
    return Phase(replies, seconds, fleet.prometheus.growth(RESTORED_TOKENS, since_s))


def _prometheus(
    running: ExitStack, commands: Iterable[VllmCommand], logs: Path
) -> Prometheus | None:
    """Start a Prometheus, if this machine has one."""
    with suppress(FileNotFoundError):
        targets = [f"127.0.0.1:{command.port}" for command in commands]
        server = prometheus.Prometheus(targets, free_port(), logs)
        running.enter_context(server.child)
        return server
    return None
