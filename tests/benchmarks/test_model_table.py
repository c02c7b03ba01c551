"""Each family has the verdict of our code, in the committed rows and in README."""

from __future__ import annotations

import json

import pytest

from benchmarks.families import FAMILIES
from benchmarks.measure import ROOT
from benchmarks.model_table import ON_AN_ENGINE, RECORDED, markdown, verdict

pytestmark = pytest.mark.vllm

RESULTS = ROOT / "benchmarks" / "results" / "models.jsonl"


@pytest.fixture(scope="module")
def verdicts():
    return {family.name: verdict(family) for family in FAMILIES}


def test_every_family_is_served_or_refused_in_one_sentence(verdicts):
    assert len(verdicts) == len(FAMILIES)
    for one in verdicts.values():
        assert bool(one.refusal) == (one.proof == "")
        assert one.refusal.count("\n") == 0
        if not one.refusal:
            assert one.proof in (ON_AN_ENGINE, RECORDED)
            assert one.chunk_tokens > 0


def test_what_an_engine_restores_and_what_it_does_not(verdicts):
    proofs = {name: one.proof for name, one in verdicts.items()}
    assert proofs["Gemma 3"] == proofs["Granite 4"] == proofs["Llama 3"] == ON_AN_ENGINE
    assert proofs["Mistral 7B v0.1"] == ON_AN_ENGINE
    assert proofs["Mistral"] == RECORDED  # the tiny one has a window
    assert proofs["GLM-5"] == proofs["Phi-4"] == RECORDED
    assert proofs["DeepSeek V4"] == proofs["Whisper"] == ""


def test_the_committed_rows_are_the_verdicts(verdicts):
    rows = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
    newest = {row["case"]: row for row in rows}
    assert newest.keys() == verdicts.keys()
    for name, one in verdicts.items():
        assert newest[name]["value"] == one.row.value
        assert newest[name]["more"] == one.row.more
        assert newest[name]["note"] == one.row.note


def test_the_table_of_readme_is_the_verdicts(verdicts):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert markdown(verdicts.values()) in text
