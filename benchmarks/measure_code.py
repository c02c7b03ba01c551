"""Measures the code: lengths of functions and files, modules in a folder, frames of a fetch.

``python -m benchmarks.measure_code [--json FILE]`` reads the product's own folders. The lines of a
function are those of its signature and body that aren't blank, a docstring or only a comment. The
frames of a fetch are those between a fetch thread's first and the call of ``recv_into`` that fills host memory
from a Redis.
"""

from __future__ import annotations

import argparse
import ast
import io
import sys
import threading
import tokenize
from collections import Counter
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

import torch

from benchmarks.measure import ROOT, Row, append_rows, print_table
from kvtransfer import KVTransfer, PagedCaches, TransferConfig
from kvtransfer.stores.embedded.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

FOLDERS = ("kernels", "kvtransfer", "connector")
_NO_CODE = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
)
_BOOTSTRAP = 3
"""Frames of the ``threading`` module below a thread's target."""


def modules(root: Path) -> list[Path]:
    """Of the product, each once: the links inside the package are other names of its folders."""
    found = [path for folder in FOLDERS for path in (root / folder).rglob("*.py")]
    return sorted(path for path in found if path.resolve() == path)


def function_lines(source: str) -> list[int]:
    """Lines of code of each function in ``source``, of inner ones too."""
    tree = ast.parse(source)
    code = _code_lines(source) - set(_docstring_lines(tree))
    functions = (
        node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )
    return [len(code & set(range(each.lineno, (each.end_lineno or 0) + 1))) for each in functions]


def _code_lines(source: str) -> set[int]:
    """Numbers of the lines that hold more than a comment, docstrings among them."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    return lines


def _docstring_lines(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for first in body if isinstance(body, list) else ():
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield from range(first.lineno, (first.end_lineno or 0) + 1)


def frames_of_a_fetch() -> int:
    """Python frames from a fetch thread's first to ``recv_into``, of one chunk from a Redis."""
    depths: list[int] = []

    def watch(frame: FrameType, event: str, called: object) -> None:
        if event == "c_call" and getattr(called, "__name__", "") == "recv_into":
            depths.append(_depth(frame) - _BOOTSTRAP)

    tokens = list(range(16))
    with EmbeddedServer(64 << 20) as server:
        with _transfer(server.url) as saver:
            saver.save(tokens, [0]).wait()
        threading.setprofile(watch)
        try:
            with _transfer(server.url) as loader:
                loader.load(tokens, [0]).wait()
        finally:
            threading.setprofile(None)
    return max(depths)


def _transfer(url: str) -> KVTransfer:
    layers = [torch.zeros(1, 2, 16, 2 * 4096)]
    caches = PagedCaches.split(layers, chunk_tokens=16)
    config = TransferConfig.of(remote_url=url, max_local_cpu_size=0.1, chunk_size=16)
    return KVTransfer.open(config, caches, model_name="code", facts={"weights": "none"})


def _depth(frame: FrameType | None) -> int:
    depth = 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    return depth


def rows(root: Path) -> list[Row]:
    """All measurements of the code in ``root``; frames are those of the code that is imported."""
    paths = modules(root)
    sources = [path.read_text(encoding="utf-8") for path in paths]
    functions = [lines for source in sources for lines in function_lines(source)]
    files = [source.count("\n") for source in sources]
    folders = list(Counter(path.parent for path in paths).values())
    return [
        _row("functions/median", median(functions), "lines", len(functions)),
        _row(
            "functions/p90",
            quantiles(functions, n=10, method="inclusive")[-1],
            "lines",
            len(functions),
        ),
        _row("files/median", median(files), "lines", len(files)),
        _row("files/largest", max(files), "lines", len(files)),
        _row("folders/largest", max(folders), "modules", len(folders)),
        _row("frames/get", frames_of_a_fetch(), "frames", 1),
    ]


def _row(case: str, value: float, unit: str, n: int) -> Row:
    return Row("code", case, "kvtransfer", value, unit, (value, value), n)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="append one line a measurement to this file")
    options = parser.parse_args()
    measured = rows(ROOT)
    print_table(measured, baseline="kvtransfer")
    if options.json:
        append_rows(options.json, measured)
    return 0


if __name__ == "__main__":
    sys.exit(main())
