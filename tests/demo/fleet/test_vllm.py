from __future__ import annotations

import json
from pathlib import Path

import pytest

from demo.fleet.child import Child
from demo.fleet.vllm import VllmCommand
from kvtransfer.config import TransferConfig

pytestmark = pytest.mark.vllm


@pytest.fixture
def started(monkeypatch, tmp_path):
    """The arguments and variables with which a process would be started."""
    seen = {}

    def note(self, name, arguments, health_url, log, environment):
        seen.update(arguments=arguments, health_url=health_url, environment=environment)

    monkeypatch.setattr(Child, "__init__", note)
    VllmCommand("one", Path("/model"), 1234, "redis://:t0ps3cret@h", 128).start(tmp_path)
    return seen


def test_vllm_takes_the_arguments_and_we_the_settings(started):
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    program, serve, *arguments = started["arguments"]
    assert (Path(program).name, serve) == ("vllm", "serve")
    parsed = make_arg_parser(FlexibleArgumentParser()).parse_args(arguments)
    assert parsed.port == 1234
    extra = parsed.kv_transfer_config.kv_connector_extra_config
    assert TransferConfig.load(extra, {}).chunk_size == 128
    assert started["health_url"] == "http://127.0.0.1:1234/health"


def test_the_password_is_in_no_argument(started):
    assert "t0ps3cret" not in json.dumps(started["arguments"])
    assert started["environment"]["KVTRANSFER_REMOTE_URL"] == "redis://:t0ps3cret@h"
