"""Reads what memory, disk and GPUs cost, from a YAML file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from reprlib import repr as cut
from typing import TYPE_CHECKING

import yaml

from kvtransfer.errors import ConfigError
from kvtransfer.simulate.replay import DISK, HOST, REMOTE

if TYPE_CHECKING:
    from pathlib import Path

HOURS_A_MONTH = 730.0


@dataclass(frozen=True)
class Prices:
    """Euros; what has no price can't be bought."""

    host_gib_month_eur: float | None = None
    disk_gib_month_eur: float | None = None
    remote_gib_month_eur: float | None = None
    gpu_hour_eur: float | None = None
    busy_hours_a_month: float = HOURS_A_MONTH
    """How many hours of a month the load is as in the trace."""
    note: str = ""
    """Where the prices are from, and of when."""

    @property
    def gib_month_eur(self) -> dict[str, float]:
        """Euros a month for a GiB of each tier that can be bought."""
        priced = {
            HOST: self.host_gib_month_eur,
            DISK: self.disk_gib_month_eur,
            REMOTE: self.remote_gib_month_eur,
        }
        return {tier: price for tier, price in priced.items() if price is not None}

    def line(self) -> str:
        """The prices in words."""
        tiers = [f"{tier} {price:g}" for tier, price in self.gib_month_eur.items()]
        gpu = "" if self.gpu_hour_eur is None else f"; a GPU hour {self.gpu_hour_eur:g} EUR"
        note = f" ({self.note})" if self.note else ""
        busy = f"; {self.busy_hours_a_month:g} hours a month are as in the trace"
        return f"EUR a GiB and month: {', '.join(tiers)}{gpu}{note}{busy}"


_NUMBERS = tuple(field.name for field in fields(Prices) if field.name != "note")


def read_prices(path: Path) -> Prices:
    """Read a file of prices.

    Raises:
        ConfigError: it can't be read, has a word that isn't known, or a price that is none.
    """
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--prices {path}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError(f"--prices {path}: this is not YAML; see examples/prices.yaml") from None
    if not isinstance(given, dict):
        raise ConfigError(f"--prices {path}: {cut(given)} are no names with prices")
    for name, value in given.items():
        _check(path, name, value)
    prices = Prices(**given)
    if not prices.gib_month_eur:
        raise ConfigError(f"--prices {path}: it has no price of a tier; name {_NUMBERS[0]}")
    return prices


def _check(path: Path, name: object, value: object) -> None:
    if name == "note" and isinstance(value, str):
        return
    if name not in _NUMBERS:
        raise ConfigError(
            f"--prices {path}: {cut(name)} is not known; known are {', '.join(_NUMBERS)}, and note, a "
            "text"
        )
    if type(value) not in (int, float) or not 0 < float(str(value)) < 1e9:
        raise ConfigError(f"--prices {path}: {name} is {cut(value)}; write a number above 0")
