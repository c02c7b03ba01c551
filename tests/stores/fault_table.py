"""Which fault is run on which store: by the tests that run it, for a page to show."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.faults import known

ROOT = Path(__file__).parents[2]

STORES = ("Redis", "disk, NFS", "NIXL", "S3", "Mooncake", "InfiniStore (simulated)")

# A test of tests/stores, or a name in tests/faults/known.py, in the order of STORES.
FAULTS: dict[str, tuple[str, ...]] = {
    "server or process killed": (
        "killed",
        "disk: temporaries_go_with_their_writers_only",
        "nixl: killed",
        "objects: killed",
        "mooncake: killed",
        "infinistore: killed",
    ),
    "server stopped": (
        "stopped",
        "disk: a_server_that_is_gone_is_a_failure_and_no_fault",
        "nixl: late",
        "objects: stopped",
        "mooncake: stopped",
        "infinistore: stopped",
    ),
    "slow line or disk": (
        "one byte at a time, slowly",
        "disk: a_late_disk_is_a_failure",
        "nixl: late_memory_is_bounded_and_comes_back",
        "objects: slow",
        "mooncake: slow",
        "infinistore: slow",
    ),
    "full": (
        "full",
        "disk: a_disk_that_others_fill_takes_nothing_and_still_serves",
        "nixl: full",
        "objects: full",
        "mooncake: full",
        "infinistore: full",
    ),
    "rights or credentials gone": (
        "password rotated",
        "disk: a_private_chunk_is_a_miss_for_another_user_and_costs_it_nothing_else",
        "",
        "objects: wrong_credentials",
        "",
        "",
    ),
    "read-only": (
        "read-only replica",
        "disk: a_read_only_disk_serves_and_takes_nothing",
        "nixl: read_only",
        "objects: read_only",
        "",
        "",
    ),
    "bits flipped": (
        "last bit",
        "disk: a_sick_sector_is_a_miss_and_a_line",
        "nixl: damaged",
        "objects: flipped",
        "mooncake: damaged",
        "infinistore: damaged",
    ),
    "cut short": (
        "truncated",
        "disk: files_deleted_while_open_are_no_entries",
        "nixl: cut",
        "objects: truncated",
        "mooncake: a_lease_that_ends_while_the_value_travels",
        "",
    ),
    "too long, or hostile": (
        "lengthened a lot",
        "disk: what_lies_in_place_of_a_chunk_is_a_miss_and_is_replaced",
        "nixl: full_of_other_files",
        "objects: hostile",
        "mooncake: a_late_answer_writes_nothing",
        "",
    ),
    "more memory than there is": (
        "",
        "",
        "",
        "objects: an_announced_error_costs_misses_and_opens_the_breaker",
        "",
        "",
    ),
    "connections forgotten": (
        "connections forgotten",
        "disk: a_stale_file_is_a_miss_and_what_took_its_place_stays",
        "",
        "objects: connections_forgotten",
        "mooncake: client_killed",
        "infinistore: client_killed",
    ),
}


def markdown() -> str:
    """The table as a page shows it."""
    lines = [f"| fault | {' | '.join(STORES)} |", "|---" * (len(STORES) + 1) + "|"]
    for fault, tests in FAULTS.items():
        cells = ("yes" if test else "" for test in tests)
        lines.append(f"| {fault} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def is_run(test: str) -> bool:
    """Whether there is such a test."""
    folder, colon, name = test.partition(": ")
    if not colon:
        return test in _names_of_known()
    tests = (ROOT / "tests" / "stores" / folder).glob("test_*.py")
    return any(f"test_{name}" in _functions(path) for path in tests)


def _names_of_known() -> set[str]:
    groups = (known.SERVER, known.ACCESS, known.DATA, known.LINE)
    return {fault.name for group in groups for fault in group}


def _functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
