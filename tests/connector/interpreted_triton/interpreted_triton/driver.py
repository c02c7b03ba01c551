"""The driver of a device that is always there."""

from __future__ import annotations

from typing import Any

from triton.backends.driver import DriverBase


class InterpretedDriver(DriverBase):
    """Answers what is asked before a kernel runs; the interpreter asks for nothing more."""

    @classmethod
    def is_active(cls) -> bool:
        return True

    def map_python_to_cpp_type(self, ty: str) -> str:
        raise NotImplementedError("an interpreted kernel is not compiled")

    def get_current_target(self) -> Any:
        raise NotImplementedError("an interpreted kernel has no target")

    def get_active_torch_device(self) -> Any:
        import torch

        return torch.device("cpu")

    def get_benchmarker(self) -> Any:
        raise NotImplementedError("an interpreted kernel is not timed")
