"""Makes spans of the record of a load. Pure: another part of the program exports them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, TypeAlias

from kvtransfer.requests.tracing.load_record import SLOWER
from kvtransfer.scheduling.cost.runs import leading, tokens_by_tier, total_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kvtransfer.plan import Took
    from kvtransfer.requests.tracing.load_record import LoadRecord, LookedUp

Attributes: TypeAlias = "dict[str, str | int]"

SPANS = {
    "kvtransfer.load": "From the lookup until the request may go on.",
    "kvtransfer.lookup": "From the question what the store holds of the prompt to the answer.",
    "kvtransfer.fetch": "From the first fetch out of a store to the end of the last.",
    "kvtransfer.copy": "From the first copy into the engine's blocks to the end of the last.",
}
"""From when to when each span lasts, by its name."""

ATTRIBUTES = {
    "kvtransfer.request_id": "The request, as vLLM's scheduler and log name it.",
    "kvtransfer.codec": "The codec in which chunks are stored.",
    "kvtransfer.local_tokens": "Tokens that vLLM's own prefix cache held.",
    "kvtransfer.matched_tokens": "Tokens behind these that could be loaded.",
    "kvtransfer.matched_tokens.TIER": "Those in one tier: `host`, `disk` or `remote`.",
    "kvtransfer.loaded_tokens": "Tokens that were loaded, and are of use.",
    "kvtransfer.loaded_tokens.TIER": "Those out of one tier.",
    "kvtransfer.blended_tokens": "Those that stood elsewhere in other prompts; only where a request is blended.",
    "kvtransfer.gap_tokens": "Tokens computed between these; only where a request is blended.",
    "kvtransfer.given_up_tokens": "Tokens that could be loaded, and were not.",
    "kvtransfer.given_up_reason": "Why not; only where there are any.",
    "kvtransfer.chunks": "Chunks, or pieces of them, that were moved.",
    "kvtransfer.chunks.TIER": "Those out of one tier.",
    "kvtransfer.bytes": "Bytes that were moved, on all ranks together.",
}
"""What each attribute says, by its name."""


@dataclass(frozen=True)
class Span:
    """A stretch of time, in seconds since the epoch, with those inside it."""

    name: str
    began_s: float
    ended_s: float
    attributes: Mapping[str, str | int]
    failure: str | None = None
    """Why it failed; None: it did not."""
    children: tuple[Span, ...] = ()


def load_span(record: LoadRecord) -> Span | None:
    """The span of a load that has ended, with its parts; None: nothing was looked up."""
    looked_up = record.lookup
    if looked_up is None:
        return None
    ended_s = max(record.ended_s, looked_up.ended_s)
    fetches = {job: it.fetch for job, it in record.times.items() if it.fetch is not None}
    copies = [it.copy for it in record.times.values() if it.copy is not None]
    parts = [_lookup_span(looked_up)]
    if record.began_s is not None:
        inside = record.began_s, ended_s
        parts += _moving("kvtransfer.fetch", fetches.values(), inside, _chunks(record, fetches))
        parts += _moving("kvtransfer.copy", copies, inside, {})
    attributes = {
        "kvtransfer.request_id": record.request_id,
        "kvtransfer.codec": record.codec,
        "kvtransfer.local_tokens": looked_up.local_tokens,
        **_tokens(record, looked_up),
    }
    return Span(
        "kvtransfer.load",
        looked_up.began_s,
        ended_s,
        attributes,
        record.failure,
        tuple(parts),
    )


def _lookup_span(looked_up: LookedUp) -> Span:
    attributes = _by_tier("matched_tokens", tokens_by_tier(looked_up.runs))
    return Span("kvtransfer.lookup", looked_up.began_s, looked_up.ended_s, attributes)


def _tokens(record: LoadRecord, looked_up: LookedUp) -> Attributes:
    """What was loaded, what was not, and why."""
    planned_tokens = looked_up.worth_tokens if record.began_s is None else total_tokens(record.runs)
    used_tokens = planned_tokens if record.used_tokens is None else record.used_tokens
    refused_tokens = total_tokens(looked_up.runs) - looked_up.worth_tokens
    given_up_tokens = refused_tokens + planned_tokens - used_tokens
    attributes = _by_tier("loaded_tokens", tokens_by_tier(leading(record.runs, used_tokens)))
    attributes["kvtransfer.given_up_tokens"] = given_up_tokens
    if given_up_tokens:
        attributes["kvtransfer.given_up_reason"] = record.failure or SLOWER
    if record.blend is not None:
        attributes["kvtransfer.blended_tokens"] = record.blend.copied_tokens
        attributes["kvtransfer.gap_tokens"] = record.blend.gap_tokens
    return attributes


def _chunks(record: LoadRecord, jobs: Iterable[int]) -> Attributes:
    return _by_tier("chunks", Counter(record.tiers[job] for job in jobs))


def _moving(
    name: str, took: Iterable[Took], inside: tuple[float, float], more: Attributes
) -> list[Span]:
    """The span of all moves of one kind; none where nothing was moved."""
    each = list(took)
    if not each:
        return []
    began_s, ended_s, nbytes = reduce(lambda one, other: one.add(other), each)
    first_s, last_s = inside
    # Workers on other machines have clocks of their own.
    began_s, ended_s = (min(max(at_s, first_s), last_s) for at_s in (began_s, ended_s))
    attributes: Attributes = {"kvtransfer.chunks": len(each), "kvtransfer.bytes": nbytes, **more}
    return [Span(name, began_s, ended_s, attributes)]


def _by_tier(name: str, amounts: Mapping[str, int]) -> Attributes:
    of_tiers = {f"kvtransfer.{name}.{tier}": count for tier, count in sorted(amounts.items())}
    return {f"kvtransfer.{name}": sum(amounts.values()), **of_tiers}
