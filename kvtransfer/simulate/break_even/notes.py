"""Says in words what a break-even rests on: the formulas, the assumptions, what isn't counted. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.chunks.encoded_size import LOSSLESS_RATIO
from kvtransfer.chunks.quantisation import CODECS, GROUP_TOKENS
from kvtransfer.simulate.break_even.verdict import ROUND_TRIPS, lengths

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kvtransfer.simulate.break_even.model import Model
    from kvtransfer.simulate.break_even.verdict import Machine

_NOT_COUNTED = (
    "not counted: encoding and decoding, what other requests load meanwhile, and the step in which "
    "vLLM begins a request whose load has ended"
)


def heading(model: Model) -> str:
    """What the table is about."""
    dtypes = " and ".join(dict.fromkeys(kept.dtype for kept in model.kept if not kept.is_state))
    on = f" on {model.ranks} tensor-parallel ranks" if model.ranks > 1 else ""
    return f"{model.name}{on}: {dtypes}, chunks of {model.chunk_tokens:,} tokens"


def notes(model: Model, machine: Machine, codecs: Sequence[str]) -> str:
    """The notes below the table, a line each.

    Args:
        model: what is loaded.
        machine: what it is loaded with.
        codecs: those that were asked for.
    """
    of_codecs = _of_codecs([codec for codec in codecs if model.takes(codec)])
    left = refusal(model, codecs)
    lines = (*_of_speed(model, machine), *_of_ranks(model), *of_codecs, left, _NOT_COUNTED)
    return "\n".join(line for line in lines if line)


def refusal(model: Model, codecs: Sequence[str]) -> str:
    """Say which of ``codecs`` the connector refuses for this model, and why; empty: none."""
    left = [codec for codec in codecs if not model.takes(codec)]
    if not left:
        return ""
    has_states = any(kept.is_state for kept in model.kept)
    is_wide = not any(kept.dtype.startswith("float8") for kept in model.kept)
    fix = f" with --block-size {GROUP_TOKENS} they do" if has_states and is_wide else ""
    return (
        f"{', '.join(left)} fit no layer of this model: they need numbers of 16 bits or more, and "
        f"pieces of a multiple of {GROUP_TOKENS} tokens;{fix}"
    ).rstrip(";")


def _of_ranks(model: Model) -> Iterator[str]:
    if model.ranks > 1:
        yield (
            f"bytes are those of all {model.ranks} ranks, which share the links to disk and remote "
            "store; from host memory each has a bus of its own"
        )


def _of_speed(model: Model, machine: Machine) -> Iterator[str]:
    prefill, longest = machine.prefill, lengths(model)[-1]
    constant, growing = f"{prefill.token_s * 1e6:.3g} us", prefill.context_token_s * 1e9
    a_token = f"({constant} + {growing:.3g} ns x n / 2)" if growing else constant
    trip_s = max(link.round_trip_s for link in machine.links)
    yield f"computing n tokens takes n x {a_token}"
    yield (
        f"a load takes bytes / speed, from the remote store also {ROUND_TRIPS} round trips of "
        f"{trip_s * 1e3:g} ms; chunks cross the link and the bus at the same time"
    )
    yield (
        f"it pays where it takes at most {machine.load_margin:g} (load_margin) x computing as much; "
        f"never: not up to {longest:,} tokens"
    )


def _of_codecs(codecs: Sequence[str]) -> Iterator[str]:
    if "lossless" in codecs:
        yield (
            f"lossless: only stores hold it; {LOSSLESS_RATIO:g} x smaller in bfloat16, as measured on "
            "one small model"
        )
    quantising = [codec for codec in codecs if codec in CODECS]
    if quantising:
        yield (
            f"{', '.join(quantising)}: by arithmetic; states, 8-bit caches and pieces whose tokens are "
            f"no multiple of {GROUP_TOKENS} stay as they are"
        )
