from __future__ import annotations

import pytest

from kvtransfer.config import TransferConfig
from kvtransfer.config.serdes import SERDES


@pytest.mark.parametrize("name", SERDES)
def test_each_value_is_a_setting_and_writes_something(name):
    assert TransferConfig.of(remote_serde=name).remote_serde == name
    assert SERDES[name].writes


def test_chunks_are_stored_as_they_are_unless_something_else_is_configured():
    assert SERDES[TransferConfig.of().remote_serde].writes == ("naive",)
