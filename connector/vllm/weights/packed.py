"""Hashes the weights that vLLM packs away as it loads them, before it does so.

A quantisation method may replace the loaded weights by something that no parameter shows: on a CPU
every linear layer keeps them inside oneDNN, on a GPU some models keep experts inside their kernel.
They can't be read any more then. We therefore hash all that a layer holds before each call of its
method's ``process_weights_after_loading``, at start and at every later loading, and keep the digests
of the parameters that are gone afterwards.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from kvtransfer.chunks.tensor_digest import digests

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch
    from torch import nn

_NOTE = "_kvtransfer_packed"
_NOTES = "_kvtransfer_notes"


def watch_packing(model: nn.Module) -> None:
    """Note what the layers of ``model`` pack away from now on; it must not hold weights yet."""
    for module in model.modules():
        method: Any = getattr(module, "quant_method", None)
        process = getattr(method, "process_weights_after_loading", None)
        if process is not None and not hasattr(process, _NOTES):
            method.process_weights_after_loading = _noting(process)


def packed_away(layer: nn.Module) -> Mapping[str, bytes | None] | None:
    """Return digests, by parameter, of the weights that ``layer`` has packed away.

    A parameter that was always empty has None. The result is None for a layer that packed nothing,
    or that was not watched.
    """
    note: Mapping[str, bytes | None] | None = layer.__dict__.get(_NOTE)
    return note


def _noting(process: Callable[[nn.Module], Any]) -> Callable[[nn.Module], Any]:
    @wraps(process)
    def process_and_note(layer: nn.Module, *args: Any, **kwargs: Any) -> Any:
        held = _shown(layer)
        named = dict(zip(held, digests(held.values()), strict=True))
        result = process(layer, *args, **kwargs)
        shown = _shown(layer)
        empty = {name: None for name, _ in layer.named_parameters(recurse=False)}
        note = {name: named.get(name) for name in {**empty, **named} if name not in shown}
        layer.__dict__[_NOTE] = note
        return result

    setattr(process_and_note, _NOTES, True)
    return process_and_note


def _shown(layer: nn.Module) -> dict[str, torch.Tensor]:
    own = layer.named_parameters(recurse=False)
    return {name: parameter.data for name, parameter in own if parameter.numel()}
