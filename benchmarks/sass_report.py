"""Reports the copy kernel's access widths and registers, from its machine code for several GPUs.

``python -m benchmarks.sass_report [--json FILE]``. It needs Triton, which includes the
assembler, but neither a GPU nor a driver. The last row of the table is a control: compiled without
the alignment that the launcher proves, the same kernel moves half as much at once.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")

import torch
import triton
from rich.console import Console
from rich.table import Table
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from kvtransfer.chunks.paged import PagedCaches
from kvtransfer.kernels.paged_copy import WARPS, PagedCopy, copy_blocks

if TYPE_CHECKING:
    from collections.abc import Callable

ARCHITECTURES = (80, 90, 100)
_TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"


@dataclass(frozen=True)
class Shape:
    """One layer of a model as an engine lays it out."""

    name: str
    block_tokens: int
    heads: int
    dim: int
    """Of one head, keys or values; of MLA the content."""
    dtype: torch.dtype
    heads_first: bool = False

    def constants(self) -> dict[str, object]:
        """The compile-time arguments of the kernel."""
        if self.name.startswith("MLA"):
            cache = torch.empty(2, 1, self.block_tokens, self.dim, dtype=self.dtype)
            return PagedCopy(PagedCaches.content([cache], self.block_tokens).planes).constants
        sizes = (
            (self.heads, self.block_tokens) if self.heads_first else (self.block_tokens, self.heads)
        )
        cache = torch.empty(2, *sizes, 2 * self.dim, dtype=self.dtype)
        cache = cache if self.heads_first else cache.transpose(1, 2)
        return PagedCopy(PagedCaches.split([cache], self.block_tokens).planes).constants


SHAPES = [
    Shape("Llama 8B", 16, 8, 128, torch.bfloat16),
    Shape("Llama 8B, heads first", 16, 8, 128, torch.bfloat16, heads_first=True),
    Shape("Llama 8B, float8", 16, 8, 128, torch.float8_e4m3fn),
    Shape("Llama 70B, one of 8", 16, 1, 128, torch.bfloat16),
    Shape("heads of 80", 16, 12, 80, torch.float16),
    Shape("SmolLM2", 32, 3, 64, torch.float32),
    Shape("MLA", 64, 1, 576, torch.bfloat16),
]


@dataclass(frozen=True)
class Code:
    """Describes the code for one shape, direction and architecture."""

    shape: str
    direction: str
    arch: int
    wide_loads: int
    """``LDG.E.128``: data."""
    wide_stores: int
    narrow_loads: int
    """The tables of addresses and blocks; no data."""
    narrow_stores: int
    registers: int
    spills: int
    """Loads and stores of local memory."""
    stack_bytes: int
    local_bytes: int
    triton: str = triton.__version__


def compiled(shape: Shape, arch: int, *, gather: bool, unit_bytes: int | None = None) -> Code:
    """The kernel for ``shape``; ``unit_bytes`` overrides the alignment that it is told."""
    constants = {**shape.constants(), "TO_CHUNK": gather}
    if unit_bytes is not None:
        constants["UNIT_BYTES"] = unit_bytes
    names = copy_blocks.arg_names
    pointers = ("planes", "moves")
    types = dict.fromkeys(names, "i32") | dict.fromkeys(pointers, "*i64")
    source = ASTSource(
        fn=copy_blocks,
        signature=types | dict.fromkeys(constants, "constexpr"),
        constexprs=constants,
        attrs={(names.index(name),): [["tt.divisibility", 16]] for name in pointers},
    )
    kernel = triton.compile(
        source, target=GPUTarget("cuda", arch, 32), options={"num_warps": WARPS}
    )
    name = shape.name
    return code_of(
        *disassembled(kernel.asm["cubin"]), name, "gather" if gather else "scatter", arch
    )


def disassembled(cubin: bytes) -> tuple[str, str]:
    """The machine code, and what it uses, as NVIDIA's tools print them."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        return _output("nvdisasm", "-c", file.name), _output("cuobjdump", "-res-usage", file.name)


def code_of(sass: str, usage: str, shape: str, direction: str, arch: int) -> Code:
    """What is counted of one kernel."""
    used = {name: int(amount) for name, amount in re.findall(r"(REG|STACK|LOCAL):(\d+)", usage)}
    loads, wide_loads = _count(r"\bLDG\.", sass), _count(r"\bLDG\.E\S*\.128", sass)
    stores, wide_stores = _count(r"\bSTG\.", sass), _count(r"\bSTG\.E\S*\.128", sass)
    return Code(
        shape=shape,
        direction=direction,
        arch=arch,
        wide_loads=wide_loads,
        wide_stores=wide_stores,
        narrow_loads=loads - wide_loads,
        narrow_stores=stores - wide_stores,
        registers=used["REG"],
        spills=_count(r"\b(LDL|STL)\b", sass),
        stack_bytes=used["STACK"],
        local_bytes=used["LOCAL"],
    )


def _output(tool: str, *arguments: str) -> str:
    done = subprocess.run([_TOOLS / tool, *arguments], check=True, capture_output=True, text=True)
    return done.stdout + done.stderr


def _count(pattern: str, text: str) -> int:
    return len(re.findall(pattern, text))


def report() -> list[Code]:
    """Every shape, direction and architecture, and the control."""
    codes = [
        compiled(shape, arch, gather=gather)
        for shape in SHAPES
        for arch in ARCHITECTURES
        for gather in (True, False)
    ]
    control = Shape("control: unaligned", 16, 8, 128, torch.bfloat16)
    return [*codes, compiled(control, 90, gather=True, unit_bytes=8)]


def print_table(codes: list[Code]) -> None:
    """Print the rows, those of one shape together."""
    title = f"copy_blocks by Triton {triton.__version__}, {WARPS} warps"
    columns = (
        "sm",
        "LDG.128",
        "STG.128",
        "other LDG",
        "other STG",
        "regs",
        "spills",
        "stack",
        "local",
    )
    table = Table("shape", "", *columns, title=title, box=None)
    for column in table.columns[2:]:
        column.justify = "right"
    for code in codes:
        table.add_row(*map(str, list(asdict(code).values())[:-1]))
    Console(width=112).print(table)


def run(
    description: str, report: Callable[[], list[Any]], print_table: Callable[[list[Any]], None]
) -> None:
    """Make a report, print it, and write it to the file that the command line names."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write one line a row to this file")
    options = parser.parse_args()
    codes = report()
    if options.json:
        options.json.write_text("".join(json.dumps(asdict(code)) + "\n" for code in codes))
    print_table(codes)


if __name__ == "__main__":
    run(__doc__, report, print_table)
