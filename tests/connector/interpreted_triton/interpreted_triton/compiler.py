"""The compiler that a backend must have, and that an interpreted kernel never calls."""

from __future__ import annotations

from typing import Any

from triton.backends.compiler import BaseBackend

_REASON = "an interpreted kernel is not compiled"


class NoCompiler(BaseBackend):
    """Supports no target, so that it can't be made."""

    @staticmethod
    def supports_target(target: Any) -> bool:
        return False

    def hash(self) -> str:
        raise NotImplementedError(_REASON)

    def parse_options(self, options: Any) -> Any:
        raise NotImplementedError(_REASON)

    def add_stages(self, stages: Any, options: Any) -> None:
        raise NotImplementedError(_REASON)

    def load_dialects(self, context: Any) -> None:
        raise NotImplementedError(_REASON)

    def get_module_map(self) -> Any:
        raise NotImplementedError(_REASON)
