"""``kvtransfer top``: what the instances of a fleet restore and save, live."""

from __future__ import annotations

import itertools
import sys
import time
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from kvtransfer.commands.output import Output, console_for
from kvtransfer.commands.top_instances import look_at, screen, traffic_between
from kvtransfer.commands.top_servers import WatchedStore, objects_of, servers_screen
from kvtransfer.errors import ConfigError
from kvtransfer.operate.instance import Instance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from kvtransfer.commands.top_instances import Look
    from kvtransfer.commands.top_servers import ServersLook
    from kvtransfer.operate.traffic import Traffic


@click.command(short_help="Show what engines restore and save, live.")
@click.argument("instances", nargs=-1)
@click.option("--store", "url", help="URL of a Redis or Valkey: show what its servers do, too.")
@click.option(
    "--interval", type=click.FloatRange(0.1), default=2.0, show_default=True, help="Seconds."
)
@click.option("--count", type=click.IntRange(1), help="Looks to take; default: until interrupted.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object an instance and look.")
def top(
    instances: Sequence[str], url: str | None, interval: float, count: int | None, *, as_json: bool
) -> None:
    """Show what the INSTANCES, addresses of vLLM such as http://host:8000, do with the cache, live.

    Without a terminal, or with --json, one table or object is printed for each look. The store's
    password comes from its URL or from KVTRANSFER_REMOTE_PASSWORD_FILE.
    """
    if not instances and url is None:
        raise ConfigError(
            "name what to look at: instances such as http://host:8000, or --store URL"
        )
    watched = [Instance(name) for name in instances]
    if len({instance.name for instance in watched}) < len(watched):
        raise ConfigError("an instance is named twice; name each once")
    with closing(WatchedStore(url)) if url is not None else nullcontext() as store:
        _watch(watched, store, interval, count, as_json=as_json)


def _watch(
    watched: Sequence[Instance],
    store: WatchedStore | None,
    interval_s: float,
    count: int | None,
    *,
    as_json: bool,
) -> None:
    is_live = sys.stdout.isatty() and not as_json
    console = console_for(sys.stdout)
    before = _Looks.take(watched, store)
    with Live(console=console, auto_refresh=False, screen=False) if is_live else _Still() as live:
        for _ in itertools.count() if count is None else range(count):
            time.sleep(interval_s)
            after = _Looks.take(watched, store)
            if as_json:
                _print_json(before, after)
            elif isinstance(live, Live):
                live.update(_shown(before, after, console.width), refresh=True)
            else:
                console.print(_shown(before, after, console.width))
            before = after


@dataclass(frozen=True)
class _Looks:
    """What all that is watched said at one moment."""

    instances: Mapping[str, Look]
    servers: ServersLook | None

    @classmethod
    def take(cls, watched: Sequence[Instance], store: WatchedStore | None) -> _Looks:
        """Ask everything."""
        looks = {instance.name: look_at(instance) for instance in watched}
        return cls(looks, None if store is None else store.look())

    def traffic_since(self, before: _Looks) -> list[tuple[str, Traffic | str]]:
        """What each instance has done, or why that isn't known."""
        return [
            (name, traffic_between(before.instances[name], look))
            for name, look in self.instances.items()
        ]


class _Still:
    """Stands where nothing is live."""

    def __enter__(self) -> _Still:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _print_json(before: _Looks, after: _Looks) -> None:
    objects: list[dict[str, object]] = [
        {"instance": name, **({"error": each} if isinstance(each, str) else asdict(each))}
        for name, each in after.traffic_since(before)
    ]
    if before.servers is not None and after.servers is not None:
        objects += objects_of(before.servers, after.servers)
    Output(as_json=True).objects(objects, str)


def _shown(before: _Looks, after: _Looks, width: int) -> Group:
    parts: list[RenderableType] = []
    if after.instances:
        parts.append(screen(after.traffic_since(before), width))
    if before.servers is not None and after.servers is not None:
        parts += [Text()] if parts else []
        parts += servers_screen(before.servers, after.servers, width)
    return Group(*parts)
