"""The recorded groups of the most used models are those of the families in the table."""

from __future__ import annotations

import json

import pytest

from benchmarks.families import FAMILIES, NOT_COMPUTED
from benchmarks.record_groups import FOLDER

PAGE = {"layers", "spec", "page_bytes"}
GROUP = {
    "kind",
    "spec",
    "block_tokens",
    "layers",
    "first_layer",
    "is_eagle",
    "is_prefix_cacheable",
    "pages",
}


def recorded(family):
    return json.loads((FOLDER / family.file).read_text())


def test_each_family_has_a_record_or_a_reason():
    files = {family.file for family in FAMILIES}
    assert {path.name for path in FOLDER.iterdir()} == files
    assert len(files) == len(FAMILIES) >= 25
    assert not NOT_COMPUTED.keys() & {family.name for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_record_is_of_the_configuration_in_the_table(family):
    record = recorded(family)
    assert (record["family"], record["architecture"]) == (family.name, family.architecture)
    computed = record["computed"]
    assert computed["changes"] == json.loads(json.dumps(family.changes))
    assert computed["dropped"] == list(family.dropped)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_record_describes_its_groups(family):
    groups = recorded(family)["groups"]
    assert groups
    for group in groups:
        assert group.keys() == GROUP
        assert group["layers"] == sum(page["layers"] for page in group["pages"])
        for page in group["pages"]:
            assert page.keys() > PAGE
            assert page["page_bytes"] > 0
