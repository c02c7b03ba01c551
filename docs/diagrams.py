"""Draws the pictures of ``docs/how-it-works.md``: ``python -m docs.diagrams`` (or ``make docs``).

``tests/test_diagrams.py`` compares the files with this.
"""

from __future__ import annotations

from pathlib import Path

from docs.drawing import Drawing

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs"
_WIDTH = 440
"""A telephone shows that many pixels with letters that can be read."""


def chunk_path() -> Drawing:
    """Where the bytes of a chunk are on their way to a store and back."""
    picture = Drawing(_WIDTH, 446, "The way of a chunk between vLLM's blocks and a store")
    picture.text(60, 18, "save", "title", "middle")
    picture.text(380, 18, "load", "title", "middle")
    picture.box(70, 30, 300, 76, "device", "vLLM's KV blocks", "device memory, in no order", "")
    for column in range(16):
        is_ours = column in (1, 2, 5, 6, 9, 10, 13, 14)
        picture.cell(92 + 16 * column, 84, "host" if is_ours else "")
    picture.box(70, 156, 300, 50, "device", "a stage", "device memory: the chunk in one piece")
    picture.box(
        70, 256, 300, 50, "host", "a slot", "pinned host memory: from here it can be loaded"
    )
    picture.box(70, 366, 140, 58, "store", "disk", "a folder, shared by", "this machine's engines")
    picture.box(230, 366, 140, 58, "store", "store", "Redis, a bucket, ...", "shared by all")
    for top, bottom, down, up in (
        (106, 156, "gather", "scatter"),
        (206, 256, "copy out", "copy in"),
        (306, 366, "seal, put", "get, verify"),
    ):
        picture.arrow(110, top + 2, 110, bottom - 2)
        picture.text(102, (top + bottom) // 2 + 4, down, "small", "end")
        picture.arrow(330, bottom - 2, 330, top + 2)
        picture.text(338, (top + bottom) // 2 + 4, up, "small")
    return picture


def one_step() -> Drawing:
    """What happens in a step, in which thread, and who hands what to whom."""
    picture = Drawing(_WIDTH, 414, "What a step of vLLM does, by thread")
    names = ("scheduler", "worker", "copies", "store threads")
    kinds = ("", "device", "device", "store")
    for number, name in enumerate(names):
        middle = 56 + 110 * number
        picture.text(middle, 18, name, "title", "middle")
        picture.line(middle, 26, middle, 406)
    left = [8 + 110 * number for number in range(4)]
    width = 96
    picture.box(left[0], 34, width, 66, kinds[0], "decides", "hits, slots,", "jobs; no I/O")
    picture.text(110, 50, "plan", "small")
    picture.arrow(104, 58, 164, 58)
    picture.box(left[1], 84, width, 50, kinds[1], "begins", "the plan's jobs")
    picture.arrow(214, 109, 338, 109)
    picture.box(left[3], 84, width, 66, kinds[3], "get, verify", "many at once,", "into slots")
    picture.arrow(338, 141, 322, 141)
    picture.box(left[2], 124, width, 66, kinds[2], "copy in", "each chunk as", "it arrives")
    picture.box(
        left[1],
        160,
        width,
        84,
        kinds[1],
        "the model",
        "computes the",
        "requests that",
        "have their KV",
    )
    picture.arrow(214, 236, 228, 236)
    picture.box(left[2], 212, width, 66, kinds[2], "copy out", "full blocks,", "after that step")
    picture.arrow(324, 266, 338, 266)
    picture.box(left[3], 246, width, 66, kinds[3], "seal, put", "in the back-", "ground")
    picture.box(left[1], 316, width, 50, kinds[1], "reports", "ended jobs")
    picture.arrow(118, 341, 104, 341)
    picture.box(
        left[0],
        304,
        width,
        84,
        kinds[0],
        "lets go on",
        "requests whose",
        "loads ended, or",
        "computes them",
    )
    return picture


def key_chain() -> Drawing:
    """What a key covers."""
    picture = Drawing(_WIDTH, 330, "A key covers everything that shapes the bytes of its chunk")
    picture.box(
        10, 10, 420, 92, "", "everything but the tokens",
        "weights, architecture, dtype, quantisation, layout,",
        "chunk size, ranks, rope settings, LoRA adapter,",
        "cache_salt, your namespace, version of the format",
    )  # fmt: skip
    picture.arrow(70, 104, 70, 134)
    tops = (136, 204, 272)
    spans = ("tokens 0 to 255", "tokens 256 to 511", "tokens 512 to 767")
    for number, (top, span) in enumerate(zip(tops, spans, strict=True), 1):
        picture.box(10, top, 120, 46, "host", f"hash {number}", "SHA-256")
        picture.box(196, top, 234, 46, "", span, "and what media they stand for")
        picture.arrow(194, top + 23, 132, top + 23)
        if number < len(tops):
            picture.arrow(70, top + 48, 70, tops[number] - 2)
    return picture


def dead_store() -> Drawing:
    """What a store that fails is to those that ask it."""
    picture = Drawing(_WIDTH, 336, "The circuit breaker of a store")
    picture.box(
        150,
        10,
        200,
        62,
        "host",
        "closed",
        "the store is asked; a failure is",
        "a miss, within its deadline",
    )
    picture.arrow(250, 74, 250, 134)
    picture.text(260, 108, "three failures in a row", "small")
    picture.box(
        150, 136, 200, 62, "bad", "open", "the store isn't asked:", "misses at once, nothing waits"
    )
    picture.arrow(210, 200, 210, 262)
    picture.text(202, 235, "after a cooldown", "small", "end")
    picture.arrow(290, 262, 290, 200)
    for line, said in enumerate(("it fails:", "the cooldown doubles,", "0.5 s to 30 s")):
        picture.text(300, 220 + 15 * line, said, "small")
    picture.box(
        150, 264, 200, 62, "store", "half-open", "one call is let through,", "the others are misses"
    )
    picture.line(148, 295, 24, 295)
    picture.line(24, 295, 24, 41)
    picture.arrow(24, 41, 148, 41)
    for line, said in enumerate(("it is answered:", "the store", "serves again")):
        picture.text(32, 154 + 15 * line, said, "small")
    return picture


PICTURES = {
    "how-path.svg": chunk_path,
    "how-step.svg": one_step,
    "how-key.svg": key_chain,
    "how-breaker.svg": dead_store,
}

if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (FOLDER / name).write_text(draw().svg(), encoding="utf-8")
        print(f"wrote docs/{name}")
