"""A model in a folder, and the engines that serve it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.connector.engine_process import Setup
from tests.connector.inputs import connected
from tests.connector.models.preparations import RANDOM_MODEL
from tests.connector.tiny_model import write_config

if TYPE_CHECKING:
    from pathlib import Path

    from tests.connector.models.kinds import Kind

_PATIENT = {"lookup_timeout_ms": 30_000, "remote_timeout_ms": 20_000}
"""On a busy machine an answer that comes late would be a miss."""


@dataclass(frozen=True)
class TinyModel:
    """A model that answers at random, yet by every token that it reads."""

    folder: str
    options: dict[str, Any] = field(default_factory=dict)
    """Arguments of ``LLM``."""
    preparations: list[str] = field(default_factory=list)
    """See :class:`tests.connector.engine_process.Setup`."""

    @classmethod
    def write(cls, kind: Kind, folder: Path) -> TinyModel:
        """Write the configuration of ``kind``, and of its draft, into new folders below ``folder``."""
        options = {"load_format": "dummy", **kind.options}
        if kind.draft is not None:
            options["speculative_config"] = {
                "method": "eagle",
                "model": str(write_config(folder / f"{kind.name}-draft", kind.draft)),
                "num_speculative_tokens": 2,
            }
        model = str(write_config(folder / kind.name, kind.config))
        return cls(model, options, RANDOM_MODEL)

    def plain(self, **options: Any) -> Setup:
        """An engine without connector, which computes every token of a prompt."""
        own = {**self.options, "enable_prefix_caching": False, **options}
        return Setup(self.folder, None, own, self.preparations)

    def connected(
        self, url: str | None, *, options: dict[str, Any] | None = None, **settings: Any
    ) -> Setup:
        """An engine with the connector; see :func:`tests.connector.inputs.connected`."""
        own = {**self.options, **(options or {})}
        setup = connected(self.folder, url, options=own, **{**_PATIENT, **settings})
        return replace(setup, preparations=self.preparations)
