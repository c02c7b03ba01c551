"""Reports the machine code of the kernels that encode and decode: widths, registers, roundings.

``python -m benchmarks.sass_quantised [--json FILE]``. It needs neither a GPU nor a driver, as
``sass_report``. ``fused`` counts multiplications that are rounded together with an addition: a
division is made of them, and nothing else may be; the last row is a control in which it was allowed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
import triton
from rich.console import Console
from rich.table import Table
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from benchmarks.sass_report import Code, code_of, disassembled, run
from kvtransfer.chunks.paged import PagedCaches
from kvtransfer.kernels import QuantisedLayout
from kvtransfer.kernels.decoding_kernel import decode_blocks
from kvtransfer.kernels.encoding_kernel import encode_blocks
from kvtransfer.kernels.paged_quantised import PagedQuantised

if TYPE_CHECKING:
    from collections.abc import Mapping

ARCHITECTURE = 90
_POINTERS = {"planes": "*i64", "moves": "*i64", "encoded": "*u8"}


@dataclass(frozen=True)
class QuantisedShape:
    """One layer of a model, and how it is encoded."""

    name: str
    block_tokens: int
    heads: int
    dim: int
    dtype: torch.dtype
    bits: int
    exact_tokens: int = 0
    exact_dims: int = 0
    is_latent: bool = False
    """Whether the layer is MLA's, which has no keys and values."""

    def copy(self) -> PagedQuantised:
        """What would launch the kernels, of planes in host memory."""
        if self.is_latent:
            cache = torch.empty(2, self.heads, self.block_tokens, self.dim, dtype=self.dtype)
            planes = PagedCaches.content([cache], self.block_tokens).planes
        else:
            sizes = (2, self.block_tokens, self.heads, 2 * self.dim)
            cache = torch.empty(sizes, dtype=self.dtype).transpose(1, 2)
            planes = PagedCaches.split([cache], self.block_tokens).planes
        exact = (self.exact_tokens, self.exact_dims)
        width, kinds = self.dtype.itemsize, len(planes)
        layout = QuantisedLayout(self.bits, kinds, kinds, 256, self.heads, self.dim, width, *exact)
        return PagedQuantised(planes, layout)


SHAPES = [
    QuantisedShape("Llama 8B", 16, 8, 128, torch.bfloat16, 8),
    QuantisedShape("SmolLM2", 32, 3, 64, torch.float32, 4, exact_tokens=1),
    QuantisedShape("MLA", 64, 1, 576, torch.bfloat16, 5, exact_dims=64, is_latent=True),
]


@dataclass(frozen=True)
class QuantisedCode:
    """Describes the code for one shape, kind of plane and direction."""

    bits: int
    by_channel: bool
    fused: int
    code: Code


def report() -> list[QuantisedCode]:
    """Both kernels for each kind of plane of every shape, and the control."""
    codes = [
        compiled(shape, copy.warps, constants, kernel)
        for shape, copy in ((shape, shape.copy()) for shape in SHAPES)
        for constants in copy.constants
        for kernel in (encode_blocks, decode_blocks)
    ]
    control = replace(SHAPES[0], name="control: fused")
    copy = control.copy()
    return [*codes, compiled(control, copy.warps, copy.constants[0], decode_blocks, fuses=True)]


def compiled(
    shape: QuantisedShape,
    warps: int,
    constants: Mapping[str, object],
    kernel: Any,
    *,
    fuses: bool = False,
) -> QuantisedCode:
    """One kernel for one kind of plane; ``fuses`` lets the compiler do what it may not."""
    names = kernel.arg_names
    types = dict.fromkeys(names, "i32") | _POINTERS | dict.fromkeys(constants, "constexpr")
    attributes = {(names.index(name),): [["tt.divisibility", 16]] for name in _POINTERS}
    source = ASTSource(fn=kernel, signature=types, constexprs=constants, attrs=attributes)
    options = {"num_warps": warps, "enable_fp_fusion": fuses}
    built = triton.compile(source, target=GPUTarget("cuda", ARCHITECTURE, 32), options=options)
    sass, usage = disassembled(built.asm["cubin"])
    direction = "gather" if kernel is encode_blocks else "scatter"
    code = code_of(sass, usage, shape.name, direction, ARCHITECTURE)
    fused = len(re.findall(r"\bFFMA\b", sass))
    return QuantisedCode(shape.bits, bool(constants["BY_CHANNEL"]), fused, code)


def print_table(codes: list[QuantisedCode]) -> None:
    """Print the rows."""
    columns = ("LDG.128", "STG.128", "other LDG", "other STG", "regs", "spills", "fused")
    title = f"encode_blocks and decode_blocks by Triton {triton.__version__}, sm_{ARCHITECTURE}"
    table = Table("shape", "bits", "groups", "", *columns, title=title, box=None)
    for column in table.columns[4:]:
        column.justify = "right"
    for row in codes:
        code = row.code
        counted = (code.wide_loads, code.wide_stores, code.narrow_loads, code.narrow_stores)
        groups = "by channel" if row.by_channel else "by token"
        figures = (*counted, code.registers, code.spills, row.fused)
        table.add_row(code.shape, str(row.bits), groups, code.direction, *map(str, figures))
    Console(width=112).print(table)


if __name__ == "__main__":
    run(__doc__, report, print_table)
