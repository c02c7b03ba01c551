import pytest
from click.shell_completion import ShellComplete

from kvtransfer.cli import main, root
from kvtransfer.commands.verbs import VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_a_help(verb, capsys):
    try:
        status = main([verb, "--help"])
    except SystemExit as ended:
        status = ended.code
    assert status == 0
    assert verb in capsys.readouterr().out


def test_an_unknown_verb_is_one_sentence(capsys):
    assert main(["lst"]) == 2
    assert capsys.readouterr().err == "kvtransfer: No such command 'lst'.\n"


def test_a_shell_completes_verbs_and_options():
    complete = ShellComplete(root, {}, "kvtransfer", "_KVTRANSFER_COMPLETE")
    assert "verify" in [item.value for item in complete.get_completions([], "ver")]
    assert "--repair" in [item.value for item in complete.get_completions(["verify"], "--re")]


def test_each_verb_has_a_sentence_that_fits(capsys):
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in lines] == list(VERBS)
    assert [line for line in lines if not line.endswith(".") or line.endswith("...")] == []
