"""Says in words what a break-even rests on: the formulas, the assumptions, what isn't counted. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.chunks.encoded_size import GROUP_TOKENS, LOSSLESS_RATIO
from kvtransfer.simulate.break_even.verdict import ROUND_TRIPS, lengths

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def notes(model: Model, machine: Machine) -> str:
    """The notes below the table, a line each."""
    lines = (*_of_speed(model, machine), *_of_ranks(model), *_of_codecs(), _NOT_COUNTED)
    return "\n".join(lines)


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


def _of_codecs() -> Iterator[str]:
    yield (
        f"lossless: only stores hold it; {LOSSLESS_RATIO:g} x smaller in bfloat16, as measured on one "
        "small model"
    )
    yield (
        "int8, int5, int4: by arithmetic; states, 8-bit caches and pieces whose tokens are no "
        f"multiple of {GROUP_TOKENS} stay as they are"
    )
