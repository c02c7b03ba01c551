"""Runs every check and measurement that needs a GPU, in less than ten minutes: ``make gpu``.

It uses the Python that runs it with its torch, Triton and, if installed, CuPy, and installs nothing.
It writes ``benchmarks/results/<card>.jsonl`` and this card's line of
``kvtransfer/calibrations.json``, and exits with 1 if anything was copied wrongly.
"""

from __future__ import annotations

import argparse
import sys
import time

import torch

from benchmarks import bench_dma, bench_paged_copy, bench_quantised
from benchmarks.gpu import calibration, correctness, decode, ordering, overlap, quantised, sanitizer
from benchmarks.gpu.table import targets, text
from benchmarks.measure import ROOT, append_rows

KERNEL_ROUNDS, DMA_ROUNDS, CHUNKS = 15, 7, 8


def main() -> int:
    parser = argparse.ArgumentParser(prog="make gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="the kernel and the lanes, once each")
    short = parser.parse_args().short
    if not torch.cuda.is_available():
        print("make gpu needs a CUDA device and a torch built for it; here is none.")
        return 2
    device = torch.device("cuda", torch.cuda.current_device())
    card = torch.cuda.get_device_name(device)
    if short:
        return bool(list(correctness.failures(device, bench_dma.CASES[-1:])))
    wrong = tell(f"correctness of {correctness.count()} layouts", correctness.failures, device)
    wrong += tell("order of copies", ordering.failures, device)
    wrong += tell(f"{quantised.count()} encodings", quantised.failures, device)
    for name in wrong:
        print(f"  WRONG: {name}")
    if wrong:
        return 1
    print(f"  compute-sanitizer: {sanitizer.verdict()}", flush=True)
    rows = [
        *tell("kernel bandwidth", kernel_rows, device),
        *tell("encoding and decoding", quantised_rows, device),
        *tell("copies by every lane", dma_rows, device),
        *tell("overlap", overlap.measure, device),
    ]
    decoded = tell("decode beside transfers", decode.measure, device)
    rows += decoded
    measured = calibration.calibrate(device, decoded)
    path = ROOT / "benchmarks" / "results" / f"{card.replace(' ', '-')}.jsonl"
    append_rows(path, rows, card)
    calibrations = ROOT / "kvtransfer" / "calibrations.json"
    calibrations.write_text(calibration.recorded(calibrations.read_text(), card, measured))
    print(f"\n{card}\n{text(rows)}\n\n{targets(rows)}\n{measured}\nwritten: {path}")
    return 0


def tell(what, work, device):
    """Do it, and say how long it took."""
    began_s = time.monotonic()
    print(f"  {what} ...", end="", flush=True)
    result = list(work(device))
    print(f" {time.monotonic() - began_s:.0f} s", flush=True)
    return result


def kernel_rows(device):
    """The kernel alone, device memory to device memory."""
    setting = bench_paged_copy.Setting(device, CHUNKS, KERNEL_ROUNDS)
    for case in bench_paged_copy.cases(device):
        yield from bench_paged_copy.measure(case, setting)


def quantised_rows(device):
    """The kernels that encode and decode, alone."""
    setting = bench_paged_copy.Setting(device, CHUNKS, KERNEL_ROUNDS)
    for case in bench_quantised.cases(device):
        yield from bench_quantised.measure(case, setting)


def dma_rows(device):
    """To and from host memory."""
    for case in bench_dma.CASES:
        yield from bench_dma.measure(case, device, CHUNKS, DMA_ROUNDS)


if __name__ == "__main__":
    sys.exit(main())
