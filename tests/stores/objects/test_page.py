"""The examples of docs/s3.md do what the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from kvtransfer.config import TransferConfig
from kvtransfer.stores.check import check_stores
from tests.stores.objects.servers import BUCKET

TEXT = (Path(__file__).parents[3] / "docs" / "s3.md").read_text(encoding="utf-8")


def block(name):
    found = re.search(rf"^```json {re.escape(name)}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    return json.loads(found[1])


def test_the_lifecycle_rule_is_one(moto):
    client = moto.client()
    rules = block("lifecycle.json")
    client.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration=rules)
    set_rules = client.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    client.delete_bucket_lifecycle(Bucket=BUCKET)
    assert set_rules == rules["Rules"]


def test_the_policy_grants_what_the_page_names():
    (objects, bucket) = block("policy.json")["Statement"]
    assert objects["Resource"] == f"{bucket['Resource']}/PREFIX/*"
    assert bucket["Action"] == "s3:ListBucket"


@pytest.mark.parametrize("url", re.findall(r"^\| `((?:s3|gs|az)://[^`]+)`", TEXT, re.MULTILINE))
def test_the_urls_are_taken(url):
    check_stores(TransferConfig.of(remote_url=url))
