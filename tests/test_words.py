"""One meaning a word: what a better word has replaced is found in code, tests and pages.

``docs/design.md`` explains the words that stand for it. An old word comes back by habit, or with a
merge. The history (``CHANGELOG.md``) and results keep the words of their time.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from dataclasses import dataclass, field
from fnmatch import fnmatch, fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("kvtransfer", "kernels", "connector", "demo", "docs", "tests", "benchmarks", "examples")
FILES = ("README.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml", "scripts/install")
SUFFIXES = {".py", ".md", ".json", ".yaml", ".toml", ".txt"}
# The page of the API is written from docstrings, which are read where they stand.
UNREAD = ("tests/test_words.py", "docs/api.md", "benchmarks/results/*")

PRODUCT = ("kvtransfer/*", "kernels/*", "connector/*")
DECIDES = ("kvtransfer/scheduling/*", "kvtransfer/requests/*", "connector/*")
OBEYS = ("kvtransfer/worker/*", "kvtransfer/plan.py", "kvtransfer/transfer.py")
TESTS_OF_SIDES = ("tests/scheduling/*", "tests/requests/*", "tests/worker/*")
SIDES = (*DECIDES, *OBEYS, *TESTS_OF_SIDES)
STORES = ("kvtransfer/stores/*", "tests/stores/*")
REDIS = ("kvtransfer/stores/redis/*", "tests/stores/redis/*")
OLD_SETTING = "the old name of the setting, which works for one release"
UNIX_USER = "the user of Unix"


@dataclass(frozen=True)
class Name:
    """Names that code doesn't use, nor text between backquotes; ``*`` is any part of one."""

    words: tuple[str, ...]
    say: str
    """What stands in their place; **bold** where the design page explains it."""
    within: tuple[str, ...] = ("*",)
    allowed: dict[str, str] = field(default_factory=dict)
    """Files that may use them, and why."""

    def places(self, file):
        return [
            (line, name)
            for line, name in file.names
            if any(fnmatchcase(name, word) for word in self.words)
        ]


@dataclass(frozen=True)
class Phrase:
    """Words that prose doesn't use, in upper or lower case; otherwise as ``Name``."""

    words: tuple[str, ...]
    say: str
    within: tuple[str, ...] = ("*",)
    allowed: dict[str, str] = field(default_factory=dict)

    def places(self, file):
        # Over the end of a line, with the sign that its comment or its table begins with.
        written = [re.escape(word).replace(r"\ ", r"[\s#|]+") for word in self.words]
        found = re.finditer(rf"(?<!\w)(?:{'|'.join(written)})(?!\w)", file.text, re.IGNORECASE)
        return [(file.text[: it.start()].count("\n") + 1, it[0]) for it in found]


RULES = (
    # The requests of an engine.
    Name(("Tracked", "tracked.py"), "RequestState (**request state**)"),
    Name(("Offer", "Offers", "offers.py", "_offers"), "Match (**match**)"),
    Name(("Ahead", "ahead.py", "_ahead"), "Prefetch (**prefetch**)"),
    Name(("Pace", "pace.py", "_pace"), "Timing (**timing**)", within=SIDES),
    Name(("Journey", "journey"), "LoadTimer (**load timer**)"),
    Name(("KeySpace", "key_space", "_key_space", "key_space.py"), "KeyBuilder (**key builder**)"),
    Name(("Names",), "EntryKeys: what the entries of one rank are called in a store"),
    # What is set aside, who is first, how long it takes.
    Name(
        ("Promise", "promise", "_promised", "promise.py", "let_go"),
        "Reservation (**reservation**), release (**released**)",
        within=SIDES,
    ),
    Name(("Turns", "_turns", "turn", "_turn", "turns.py"), "**priority**, PriorityPool", SIDES),
    Name(("within_s", "_within_s"), "start_within_s"),
    Name(("patience_s", "_patience_s", "*_PATIENCE_S"), "poll_s, or the name of what ends then"),
    Name(("_news", "_harvest"), "a condition; _collect", within=SIDES),
    # Stores.
    Name(
        ("Breaker", "breaker.py", "*rest_s", "*_REST_S", "*left_alone"),
        "CircuitBreaker (**circuit breaker**), cooldown_s (**cooldown**), open_breakers",
        within=STORES,
    ),
    Name(
        ("Node", "GuardedNode", "Wire*", "Window", "Line", "AskingLine", "talk", "talk.py"),
        "ConnectionPool (**connection pool**), **connection**, **read buffer**, **commands**",
        within=REDIS,
    ),
    Name(("exchange", "_exchange"), "execute", within=REDIS),
    Name(
        ("Latest", "Master", "Slots", "Place", "latest.py", "slots.py", "presence.py", "presence"),
        "TopologyCache (**topology cache**), SentinelPool, ClusterNodes, NodeAddress, exists",
        within=REDIS,
    ),
    Name(("DiskRoom", "DiskFolder", "take_stock*"), "eviction: reserve, evict, rescan; layout"),
    Name(("whole", "is_of", "is_intact"), "as_chunk_bytes, matches_payload, verify_entry", PRODUCT),
    Name(("BLOCK_BYTES", "_last_blocks"), "SECTOR_BYTES (**sector**)", within=STORES),
    Name(("_lanes", "*_LANES"), "threads; a **lane** is a way to copy", within=STORES),
    # Policies and costs.
    Name(("Line",), "what is fitted; a line is a line of text", within=PRODUCT),
    Name(("foretell", "bury", "line_up", "step_out"), "what it does", within=PRODUCT),
    Phrase(
        ("odds",),
        "learned",
        allowed={
            "kvtransfer/policies/__init__.py": OLD_SETTING,
            "tests/config/test_old_names.py": OLD_SETTING,
            "tests/simulate/test_simulate.py": OLD_SETTING,
        },
    ),
    # Prose.
    Phrase(("left alone", "leave it alone"), "not asked, as its **circuit breaker** is open"),
    Phrase(
        ("nobody",),
        "no thread, no request; or turn the sentence around",
        allowed={
            "tests/stores/disk/*": UNIX_USER,
            "tests/faults/*": UNIX_USER,
            "CONTRIBUTING.md": UNIX_USER,
        },
    ),
    Phrase(("whoever",), "who it is"),
    Phrase(("so many", "so long"), "the number, by its name"),
    Phrase(("in its turn", "in their turn"), "by **priority**, or one by one"),
    Phrase(("that is of", "those that are of"), "of"),
    Phrase(("wait in line", "waits in line", "waited in line"), "wait to be scheduled"),
    Phrase(("the incumbent",), "LMCache"),
    Phrase(("belongs into", "belong into"), "belongs in"),
)

RIDDLES = ("Of", "By", "Those", "So")
"""First words of a docstring that has neither a subject nor a verb."""


class File:
    """One file of the project, by its path in it."""

    def __init__(self, path, text):
        self.path = path
        self.text = text
        self.names = [(0, Path(path).name), *(_names(text) if path.endswith(".py") else [])]
        quoted = re.sub(r"^```.*?^```$", lambda block: f"`{block[0]}`", text, flags=re.M | re.S)
        if path.endswith(".md"):
            self.names += _quoted(1, quoted)

    def is_in(self, patterns):
        return any(fnmatch(self.path, each) for each in patterns)


def _names(source):
    """Each name in the code of ``source``, and those between backquotes in its texts."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME:
            yield token.start[0], token.string
        elif token.type in (tokenize.STRING, tokenize.COMMENT):
            yield from _quoted(token.start[0], token.string)


def _quoted(first_line, text):
    for quote in re.finditer(r"(`+)([^`]+)\1", text):
        line = first_line + text[: quote.start()].count("\n")
        for name in re.finditer(r"\w+(?:\.py\b)?", quote[2]):
            yield line + quote[2][: name.start()].count("\n"), name[0]


def docstrings(source):
    """Those of modules, classes and functions, and those behind an attribute; with their lines."""
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else []:
            match statement:
                case ast.Expr(value=ast.Constant(value=str(text))) if text.strip():
                    yield statement.lineno, text.strip()


@pytest.fixture(scope="module")
def files():
    """All of the project; what the links in ``kvtransfer`` show, once."""
    found = [ROOT / name for name in FILES]
    for folder in FOLDERS:
        found += [it for it in (ROOT / folder).rglob("*") if it.suffix in SUFFIXES and it.is_file()]
    paths = {str(it.relative_to(ROOT)): it for it in sorted(found)}
    read = [
        File(path, file.read_text(encoding="utf-8"))
        for path, file in paths.items()
        if not path.startswith(("kvtransfer/kernels/", "kvtransfer/connector/"))
    ]
    return [file for file in read if not file.is_in(UNREAD)]


def label(rule):
    return rule.words[0]


@pytest.mark.parametrize("rule", RULES, ids=label)
def test_a_word_that_was_replaced_is_not_used(rule, files):
    places = [
        f"{file.path}:{line}: {word}"
        for file in files
        if file.is_in(rule.within) and not file.is_in(rule.allowed)
        for line, word in rule.places(file)
    ]
    assert not places, f"say {rule.say} ({len(places)} places):\n" + "\n".join(places)


def test_a_docstring_begins_with_what_a_thing_is_or_does(files):
    riddles = [
        f"{file.path}:{line}: {text.splitlines()[0]}"
        for file in files
        if file.path.endswith(".py") and file.is_in(PRODUCT)
        for line, text in docstrings(file.text)
        if text.split()[0].rstrip(",:;") in RIDDLES
    ]
    assert not riddles, f"{len(riddles)} docstrings:\n" + "\n".join(riddles)


@pytest.mark.parametrize("rule", RULES, ids=label)
def test_each_rule_finds_its_words(rule):
    for word in rule.words:
        plain = word.replace("*", "")
        broken = plain.replace(" ", "\n# ").capitalize() if isinstance(rule, Phrase) else plain
        if plain.endswith(".py"):
            assert rule.places(File(f"kvtransfer/{plain}", ""))
        else:
            assert rule.places(File("a.py", f"x = 1  # begins `with` `{broken}`\n"))
        if "*" in word:
            continue
        assert not rule.places(File("a.py", f"x{plain.replace(' ', '').replace('.', '')}x = 1\n"))


def test_names_are_found_in_code_and_between_backquotes_only():
    rule = Name(("Pace", "pace.py"), "")
    code = 'from x import Pace\n\n"""Pace of it.\n\nSee ``Pace``, a Pace of ``it``."""\n# Pace\n'
    assert rule.places(File("x.py", code)) == [(1, "Pace"), (5, "Pace")]
    page = "Pace\n\n```\na/pace.py  Pace\n```\n"
    assert rule.places(File("x.md", page)) == [(4, "pace.py"), (4, "Pace")]


def test_an_exception_is_still_needed(files):
    for rule in RULES:
        for allowed in rule.allowed:
            using = [file for file in files if file.is_in([allowed]) and rule.places(file)]
            assert using, f"{allowed} doesn't use {rule.words[0]!r} any more"


def test_the_design_page_explains_each_word_that_a_rule_names():
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"\*\*([^*]+)\*\*", page))
    assert {
        word for rule in RULES for word in re.findall(r"\*\*([^*]+)\*\*", rule.say)
    } <= explained
