"""Which vLLM a test runs: whose sources, and which of its two model runners."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import has_gpu

if TYPE_CHECKING:
    from collections.abc import Mapping

# Without a GPU, V2's kernels run in Triton's interpreter, behind a backend that compiles nothing.
_INTERPRETED = {} if has_gpu() else {"TRITON_INTERPRET": "1"}
_BACKEND = () if has_gpu() else (Path(__file__).with_name("interpreted_triton"),)


@dataclass(frozen=True)
class Variant:
    """A vLLM, as the environment of the processes that are to run it."""

    name: str
    runner: str
    """The class that its model runner is, or is derived from."""
    settings: Mapping[str, str]
    paths: tuple[Path, ...] = field(default=())
    """Of Python modules, before all others."""

    def environment(self) -> dict[str, str]:
        """To be added to that of the test."""
        paths = [*map(str, self.paths), os.environ.get("PYTHONPATH", "")]
        return {**self.settings, "PYTHONPATH": os.pathsep.join(filter(None, paths))}

    def of(self, sources: Path) -> Variant:
        """The same runner, of the vLLM whose package is in the folder ``sources``."""
        return replace(self, name=f"{sources.name}-{self.name}", paths=(sources, *self.paths))


V1 = Variant(
    "v1", "vllm.v1.worker.gpu_model_runner.GPUModelRunner", {"VLLM_USE_V2_MODEL_RUNNER": "0"}
)
V2 = Variant(
    "v2",
    "vllm.v1.worker.gpu.model_runner.GPUModelRunner",
    {"VLLM_USE_V2_MODEL_RUNNER": "1", **_INTERPRETED},
    _BACKEND,
)
# scripts/install has put them beside the installed one.
OTHER_VERSIONS = [Path(sys.prefix, f"vllm-{version}") for version in ("0.31.0", "0.33.0")]
