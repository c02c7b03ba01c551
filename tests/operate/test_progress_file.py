from contextlib import closing

import pytest

from kvtransfer.errors import ConfigError
from kvtransfer.operate.progress_file import ProgressFile


def test_keys_are_remembered(tmp_path):
    path = tmp_path / "done"
    with closing(ProgressFile(path)) as done:
        assert "a" not in done
        done.add("a")
        assert "a" in done
    with closing(ProgressFile(path)) as done:
        assert ("a" in done, "b" in done, len(done)) == (True, False, 1)


def test_a_digest_that_was_cut_off_is_dropped(tmp_path):
    path = tmp_path / "done"
    with closing(ProgressFile(path)) as done:
        done.add("a")
        done.add("b")
    path.write_bytes(path.read_bytes()[:-5])
    with closing(ProgressFile(path)) as done:
        assert ("a" in done, "b" in done) == (True, False)
        done.add("c")
    with closing(ProgressFile(path)) as done:
        assert ("a" in done, "b" in done, "c" in done) == (True, False, True)


def test_a_file_that_can_not_be_written_is_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match="name a file to remember in"):
        ProgressFile(tmp_path / "nowhere" / "done")
