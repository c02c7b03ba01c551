"""Tests that share engines run in one process, or each process would start all of them."""

from __future__ import annotations


def test_xdist_knows_the_group_of_each_test(request):
    """It writes the group into the node id, which a pytest that is too new for it ignores."""
    is_distributed = getattr(request.config.option, "loadgroup", False)
    assert request.node.nodeid.endswith("@tests/test_grouping.py") == is_distributed
