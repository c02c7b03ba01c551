"""Digests of the weights that vLLM packs away as it loads them, taken before they are gone.

A quantisation method may replace what was loaded by something that no parameter shows: on a CPU
every linear layer ends inside oneDNN, on a GPU the experts of some models end inside their kernel.
What a layer computes is then decided by tensors that can't be read any more. So each method's
``process_weights_after_loading``, at start and whenever weights are loaded anew, is preceded by a
digest of all that the layer holds, and what has vanished afterwards stays known by it.
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
    """From now on note what the layers of ``model``, which holds no weights yet, pack away."""
    for module in model.modules():
        method: Any = getattr(module, "quant_method", None)
        process = getattr(method, "process_weights_after_loading", None)
        if process is not None and not hasattr(process, _NOTES):
            method.process_weights_after_loading = _noting(process)


def packed_away(layer: nn.Module) -> Mapping[str, bytes | None] | None:
    """Digests, by parameter, of what ``layer`` held and shows no more.

    None stands for a parameter that was empty all along. The whole is None for a layer that packed
    nothing, or whose packing was not watched.
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
