"""Lists the values of ``remote_serde``; a new one is one row."""

from __future__ import annotations

from dataclasses import dataclass

from kvtransfer.chunks.quantisation import CODECS


@dataclass(frozen=True)
class Serde:
    """One value of ``remote_serde``."""

    name: str
    writes: tuple[str, ...]
    """The codecs that a store may put chunks with, see ``kvtransfer.stores.codecs``; of several, the
    one that is predicted to take least time."""


_TABLE = (
    Serde("naive", ("naive",)),
    Serde("lossless", ("lossless",)),
    Serde("auto", ("naive", "lossless")),
    # Their numbers are quantised before a store sees them.
    *(Serde(name, ("naive",)) for name in CODECS),
)
SERDES = {serde.name: serde for serde in _TABLE}
