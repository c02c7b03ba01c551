"""Asks our code, for each of the most used model families, whether the connector serves it.

``python -m benchmarks.model_table --json FILE`` takes the cache groups that vLLM makes of each family
(``benchmarks/model_families``) to the code that serves or refuses them. A row's value is 1 where the
family is served and 0 where it is refused. ``--markdown`` prints the table of README instead.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.families import FAMILIES
from benchmarks.measure import Row, append_rows
from benchmarks.recorded_groups import cache_config, recorded
from kvtransfer.connector.vllm.caches.cache_groups import cache_groups
from kvtransfer.connector.vllm.config_check import refuse_block_size
from kvtransfer.connector.vllm.reuse_verdict import refuse_groups
from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.families import Family
    from kvtransfer.connector.vllm.caches.cache_groups import GroupFacts

CHUNK_SIZE = 256
ON_AN_ENGINE = "restored on a real engine"
RECORDED = "recorded configuration"
_WORDS = {
    "full_attention": "full attention",
    "mla_attention": "latents (MLA)",
    "sliding_window": "sliding windows",
    "sliding_window_mla": "sliding windows of latents",
    "chunked_local_attention": "chunked local attention",
    "mamba": "states",
    "cross_attention": "cross attention",
}


@dataclass(frozen=True)
class Verdict:
    """What our code says of one family."""

    family: str
    groups: tuple[str, ...]
    """What each cache group keeps, in words."""
    chunk_tokens: int
    """0 where the family is refused."""
    proof: str
    refusal: str = ""
    """The sentence that a user reads; empty: the family is served."""

    @property
    def kinds(self) -> str:
        """The kinds of cache groups, each once."""
        return " + ".join(dict.fromkeys(self.groups))

    @property
    def counted_kinds(self) -> str:
        """The kinds of cache groups, each with the number of groups where that isn't 1."""
        counted = Counter(self.groups).items()
        return " + ".join(f"{count} x {kind}" if count > 1 else kind for kind, count in counted)

    @property
    def row(self) -> Row:
        """The verdict as a measurement."""
        value = float(not self.refusal)
        more = {"groups": float(len(self.groups)), "chunk_tokens": float(self.chunk_tokens)}
        note = "; ".join([self.counted_kinds, self.refusal or self.proof])
        spread = (value, value)
        return Row(
            "models", self.family, "kvtransfer", value, "served", spread, 1, more=more, note=note
        )


def verdict(family: Family) -> Verdict:
    """Ask our code about the record of ``family``."""
    record = recorded(family)
    words = tuple(map(_words, record["groups"]))
    try:
        groups = _served(cache_config(record))
    except ConfigError as error:
        return Verdict(family.name, words, 0, "", str(error))
    is_proven = _likeness(family.architecture, record) in _restored()
    proof = ON_AN_ENGINE if is_proven else RECORDED
    return Verdict(family.name, words, groups[0].tiling.chunk_tokens, proof)


def markdown(verdicts: Iterable[Verdict]) -> str:
    """Render the table of README: one line for the families of which the same is true."""
    lines = ["| models | cache groups | served | proof |", "|---|---|---|---|"]
    for (refusal, kinds, proof), alike in groupby(sorted(verdicts, key=_line), key=_line):
        families = ", ".join(one.family for one in alike)
        why = f"“{refusal.partition(';')[0]}”"
        lines.append(f"| {families} | {kinds} | {'no' if refusal else 'yes'} | {proof or why} |")
    return "\n".join(lines)


def _line(one: Verdict) -> tuple[str, str, str]:
    return one.refusal, one.kinds, one.proof


def _served(config: Any) -> tuple[GroupFacts, ...]:
    """Do what the connector does with a configuration of caches before there are any."""
    refuse_groups(config)
    groups = cache_groups(config, CHUNK_SIZE)
    if len(groups) == 1:
        refuse_block_size(groups[0].tiling.block_tokens, groups[0].tiling.chunk_tokens)
    return groups


def _words(group: dict[str, Any]) -> str:
    kinds = len(group["pages"])
    return _WORDS[group["kind"]] + (f" in pages of {kinds} kinds" if kinds > 1 else "")


def _likeness(architecture: str, record: dict[str, Any]) -> tuple[str, bool]:
    """What a tiny model must have in common with a family to stand for it."""
    return architecture, any("sliding_window" in group["kind"] for group in record["groups"])


def _restored() -> Iterator[tuple[str, bool]]:
    """Yield the likeness of each tiny model that a test restores on a real engine."""
    from tests.connector.models.kinds import KINDS
    from tests.connector.test_restore import MODELS

    for config in (*(kind.config for kind in KINDS), *MODELS):
        (architecture,) = config["architectures"]
        yield architecture, bool(config.get("sliding_window"))


def _print(verdicts: list[Verdict]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("family", "cache groups", "chunk", "served", "proof or refusal", box=None)
    for one in verdicts:
        chunk = str(one.chunk_tokens) if one.chunk_tokens else ""
        answer = "no" if one.refusal else "yes"
        table.add_row(one.family, one.counted_kinds, chunk, answer, one.refusal or one.proof)
    Console(width=None if sys.stdout.isatty() else 120).print(table, highlight=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="append one line a family to this file")
    parser.add_argument("--markdown", action="store_true", help="print the table of README")
    options = parser.parse_args()
    verdicts = [verdict(family) for family in FAMILIES]
    if options.markdown:
        print(markdown(verdicts))
    else:
        _print(verdicts)
    if options.json:
        append_rows(options.json, [one.row for one in verdicts])
    return 0


if __name__ == "__main__":
    sys.exit(main())
