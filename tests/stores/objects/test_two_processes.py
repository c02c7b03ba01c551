"""What one process saves, another one restores, byte for byte."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.stores.objects.saver import TOKENS, layers_of, opened
from tests.stores.objects.servers import BUCKET

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", ["seaweedfs", "moto"])
@pytest.mark.parametrize("serde", ["naive", "lossless"])
def test_saved_in_one_and_restored_in_another(name, serde, request, backing):
    server = request.getfixturevalue(name)
    url = server.url(f"{backing.prefix}/{serde}")
    command = [sys.executable, "-m", "tests.stores.objects.saver", url, serde]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.stdout.strip() == "24", done.stderr
    layers, saved = layers_of(8), layers_of(7)
    with opened(layers, remote_url=url, remote_serde=serde) as kv:
        assert kv.lookup(TOKENS) == 24
        assert kv.load(TOKENS, range(8, 16)).wait() == 24
    for ours, theirs in zip(layers, saved, strict=True):
        assert torch.equal(ours[8:14], theirs[0:6])
        assert not torch.equal(ours[:6], theirs[:6])
    listed = server.client().list_objects_v2(Bucket=BUCKET, Prefix=backing.prefix)
    assert listed["KeyCount"] == 3
