"""``kvtransfer doctor``: what is wrong with a deployment, and what to change first."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kvtransfer.commands.load_question import loads_asked, measured
from kvtransfer.commands.option_groups import parsed
from kvtransfer.commands.output import Output
from kvtransfer.config import TransferConfig
from kvtransfer.errors import ConfigError, StoreError
from kvtransfer.metrics import Metrics
from kvtransfer.operate.doctor.config_rules import judge_config
from kvtransfer.operate.doctor.data_rules import (
    judge_failure,
    judge_round_trip,
    judge_sample,
    judge_unlisted,
)
from kvtransfer.operate.doctor.finding import Finding, Level
from kvtransfer.operate.doctor.load_rules import Loads, judge_loads
from kvtransfer.operate.doctor.machine import look
from kvtransfer.operate.doctor.quota_rules import judge_quotas
from kvtransfer.operate.doctor.round_trip import round_trip
from kvtransfer.operate.doctor.server_rules import judge_server
from kvtransfer.operate.doctor.vllm_rules import Arguments, judge_vllm
from kvtransfer.operate.pace import Pace
from kvtransfer.operate.quantities import bytes_text
from kvtransfer.operate.verification import Findings, Verifier
from kvtransfer.quotas.quotas_file import Quotas
from kvtransfer.simulate.arguments import prefill_rates
from kvtransfer.stores.open import open_entries, settings_of
from kvtransfer.stores.schemes import scheme_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from kvtransfer.operate.doctor.round_trip import RoundTrip
    from kvtransfer.stores.interface import Store

FOUND = 1
"""The exit status where something should be changed."""
_SAMPLE = _CHUNKS = 32
_COLOURS = {
    Level.BROKEN: "bold red",
    Level.UNSAFE: "bold magenta",
    Level.COSTLY: "yellow",
    Level.NOTE: "green",
}


@click.command(short_help="Say what is wrong, and what to change.")
@click.argument("url", required=False)
@click.option("--vllm-args", default="", help="The arguments of vllm serve, as one text.")
@click.option("--chunk-mib", type=click.IntRange(1, 512), default=8, show_default=True)
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="A model's config.json or its folder: from which context length on does a load pay?",
)
@click.option(
    "--prefill-tokens-per-s",
    callback=parsed(prefill_rates),
    metavar="RATE",
    help="How fast it is computed; RATE@TOKENS,RATE@TOKENS of prompts of two lengths is better.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding.")
def doctor(
    url: str | None,
    vllm_args: str,
    chunk_mib: int,
    model: Path | None,
    prefill_tokens_per_s: Sequence[tuple[float, int]] | None,
    *,
    as_json: bool,
) -> int:
    """Look at the settings, this machine and the store, and say what to change, the worst first.

    Settings are read as vLLM reads them, from the environment, the file that it names, and
    --vllm-args. Into the store chunks are put for a moment; nothing else is changed. Exit status 0:
    nothing is to be changed; 1: something is.
    """
    output = Output(as_json=as_json)
    arguments = _arguments(vllm_args)
    extra = {**(arguments.settings if arguments else {}), **({"remote_url": url} if url else {})}
    try:
        config, origins = TransferConfig.load(extra), TransferConfig.origins(extra)
    except ConfigError as error:
        return _told(output, [Finding(Level.BROKEN, "settings", str(error), "mend the setting")])
    if not as_json:
        _show_settings(output, config, origins)
    loads = loads_asked(model, prefill_tokens_per_s, arguments, config)
    found = [*judge_config(config, origins, look(config))]
    found += judge_vllm(arguments, config) if arguments else []
    if config.remote_url is not None:
        found += _judge_server(config, config.remote_url)
        if not any(finding.name == "store" for finding in found):
            found += _judge_store(output, config, config.remote_url, chunk_mib << 20, loads)
    return _told(output, found)


def _arguments(text: str) -> Arguments | None:
    try:
        return Arguments(text) if text else None
    except ValueError as error:
        raise ConfigError(f"--vllm-args: {error}; write them as in a shell") from None


def judge_deployment(config: TransferConfig, url: str) -> list[Finding]:
    """Say what should be changed, the worst first, without putting anything into the store."""
    found = [
        *judge_config(config, TransferConfig.origins(), look(config)),
        *_judge_server(config, url),
    ]
    return sorted(found, key=lambda finding: finding.level)


def _judge_server(config: TransferConfig, url: str) -> Iterator[Finding]:
    """Judge how the server of ``url`` is set up, if it is one that can be asked."""
    if not scheme_of(url).is_redis_server:
        return
    from kvtransfer.stores.redis.inspection import inspect, refusal_of_scripts

    try:
        found = inspect(url, settings_of(config, Metrics()))
        limits = Quotas.read(config.quotas_file).remote
        refusal = refusal_of_scripts(url, settings_of(config, Metrics())) if limits else ""
    except (StoreError, ConfigError) as error:
        yield judge_failure(str(error))
        return
    yield from judge_server(found, config, time.time())
    yield from judge_quotas(found, limits, refusal) if limits else ()


def _judge_store(
    output: Output, config: TransferConfig, url: str, chunk_bytes: int, loads: Loads | None
) -> Iterator[Finding]:
    settings = settings_of(config, Metrics())
    try:
        with closing(open_entries(url, replace(settings, only_reads=True))) as store:
            for chunks in (1, _CHUNKS):
                trip = round_trip(store, chunks, chunk_bytes)
                yield from judge_round_trip(trip.came_back, trip.chunks)
                output.tell(_speeds(trip))
            if loads is not None:
                yield judge_loads(loads, measured(store, loads.chunk_bytes))
            yield from _judge_entries(store, settings.seals.opens)
    except (StoreError, ConfigError) as error:
        yield judge_failure(str(error))


def _judge_entries(store: Store, opens: Callable[[str], bool]) -> Iterator[Finding]:
    """Judge a sample; a store that has just served a round trip may still refuse to list."""
    try:
        yield from judge_sample(_sample(store, opens))
    except StoreError as error:
        yield judge_unlisted(str(error))


def _sample(store: Store, opens: Callable[[str], bool]) -> Findings:
    findings = Findings()
    listed = islice(store.entries(), _SAMPLE)
    for entry, verdict in Verifier(store, opens, Pace(0)).verify(listed):
        findings.note(entry.key, verdict)
    return findings


def _speeds(trip: RoundTrip) -> str:
    put, get = bytes_text(trip.put_bytes_per_s), bytes_text(trip.get_bytes_per_s)
    chunks = "1 chunk" if trip.chunks == 1 else f"{trip.chunks} chunks"
    return f"{chunks} of {bytes_text(trip.chunk_bytes)}: put at {put}/s, read at {get}/s"


def _show_settings(output: Output, config: TransferConfig, origins: Mapping[str, str]) -> None:
    shown = {name: f"{config.shown(name)}   ({origin})" for name, origin in origins.items()}
    output.facts({}, shown or {"settings": "all have their defaults"})


def _told(output: Output, found: list[Finding]) -> int:
    """Print what was found, the most important first; return the exit status."""
    ordered = sorted(found, key=lambda finding: finding.level)
    output.findings(
        [{**vars(each), "level": each.level.name.lower()} for each in ordered],
        [_COLOURS[each.level] for each in ordered],
    )
    return FOUND if any(each.level is not Level.NOTE for each in found) else 0
