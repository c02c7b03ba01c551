from __future__ import annotations

import sys

import pytest

from demo.fleet.child import Child, ChildError, free_port
from tests.demo.fleet.children import started


def test_a_server_serves_until_it_is_closed(tmp_path):
    child, _ = started(tmp_path, "one")
    with child:
        assert child.is_up()
    with pytest.raises(ChildError, match="one ended"):
        child.is_up()


def test_a_killed_server_is_gone_and_may_be_closed(tmp_path):
    child, _ = started(tmp_path, "one")
    child.kill()
    with pytest.raises(ChildError, match="one ended"):
        child.is_up()
    child.close()


def test_one_that_ends_by_itself_is_told_with_the_end_of_its_log(tmp_path):
    arguments = [sys.executable, "-c", "raise SystemExit('no such model')"]
    url = f"http://127.0.0.1:{free_port()}"
    child = Child("vllm", arguments, url, tmp_path / "log", {})
    with child, pytest.raises(ChildError, match="no such model"):
        child.wait_until_up(60)


def test_one_that_does_not_come_up_is_not_waited_for_without_end(tmp_path):
    arguments = [sys.executable, "-c", "import time; time.sleep(600)"]
    child = Child("vllm", arguments, "http://127.0.0.1:1", tmp_path / "log", {})
    with child, pytest.raises(ChildError, match="vllm is not up"):
        child.wait_until_up(0.1)


def test_a_second_run_adds_to_the_log(tmp_path):
    for word in ("first", "second"):
        arguments = [sys.executable, "-c", f"print('{word}')"]
        child = Child("vllm", arguments, "http://127.0.0.1:1", tmp_path / "log", {})
        with pytest.raises(ChildError, match=word):
            child.wait_until_up(60)
    assert (tmp_path / "log").read_text().split() == ["first", "second"]
