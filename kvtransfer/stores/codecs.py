"""Lists the codecs of stores, and opens those that a value of ``remote_serde`` names.

All of them are exact. A key names a chunk's bytes, not how a store holds them, so entries of
different codecs share keys, and a reader decodes each by the codec that its record names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.config.serdes import SERDES
from kvtransfer.errors import ConfigError
from kvtransfer.metrics import Metrics
from kvtransfer.stores.codec import NAIVE
from kvtransfer.stores.lossless.codec import Lossless
from kvtransfer.stores.lossless.stretches import FLOATS, sections_of
from kvtransfer.stores.stored_forms import StoredForms

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvtransfer.chunks.layout import Formats
    from kvtransfer.stores.codec import Codec

CODECS: dict[str, Callable[[], Codec]] = {"naive": lambda: NAIVE, "lossless": Lossless}
"""Makes each codec, by name."""


def open_forms(
    serde: str, formats: Formats | None = None, metrics: Metrics | None = None
) -> StoredForms:
    """Open the codecs of one store.

    Args:
        serde: a name in ``SERDES``.
        formats: of the pieces; those that can't be stored as ``serde`` says are refused.
        metrics: see ``StoredForms``.

    Raises:
        ConfigError: none of the pieces can be stored by the only codec of ``serde``.
    """
    codecs = {name: make() for name, make in CODECS.items()}
    writes = [codecs[name] for name in SERDES[serde].writes]
    shorter = None if writes[-1] is NAIVE else writes[-1]
    if shorter is not None and len(writes) == 1 and formats is not None:
        _refuse(serde, shorter, formats)
    return StoredForms(shorter, codecs, metrics or Metrics(), is_chosen=len(writes) > 1)


def _refuse(serde: str, codec: Codec, formats: Formats) -> None:
    if any(codec.suits(form) for form in formats.formats):
        return
    sections = (section for form in formats.formats for section in sections_of(form))
    held = ", ".join(sorted({section.dtype for section in sections}))
    raise ConfigError(
        f"remote_serde={serde} makes caches of {', '.join(FLOATS)} shorter, and this one holds "
        f"{held}; set remote_serde to naive or auto"
    )
