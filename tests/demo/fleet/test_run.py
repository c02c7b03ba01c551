from __future__ import annotations

import pytest

from demo.fleet import run


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--conversations", "0"], "at least 1"),
        (["--json", "/nowhere/fleet.json"], "there is no folder /nowhere"),
        (["--logs", "/nowhere"], "there is no folder /nowhere"),
    ],
)
def test_wrong_arguments_are_told(arguments, sentence, capsys):
    with pytest.raises(SystemExit):
        run.main(arguments)
    assert sentence in capsys.readouterr().err


def test_a_fleet_that_can_not_run_ends_with_2(tmp_path, monkeypatch, capsys):
    def missing():
        raise FileNotFoundError("no model")

    monkeypatch.setattr(run, "model_folder", missing)
    assert run.main(["--logs", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "fleet: no model\n"
