"""The help of ``kvtransfer simulate``: options in groups, each with a sentence."""

import re

from kvtransfer.commands.simulate import simulate

GROUPS = [
    "A replay of TRACE:",
    "Which sizes to buy for TRACE:",
    "From which context length on a load pays:",
    "The model:",
    "The machine:",
    "What is printed:",
    "Other options:",
]


def test_options_stand_in_groups_by_what_they_are_for(run):
    text = run("simulate", "--help").out
    assert re.findall(r"^[A-Z].*:$", text, re.MULTILINE) == GROUPS
    of_budget = text.partition(GROUPS[1])[2].partition(GROUPS[2])[0]
    assert re.findall(r"^  (--[a-z-]+)", of_budget, re.MULTILINE) == [
        "--budget",
        "--prices",
        "--goal",
    ]


def test_each_option_says_what_it_is():
    for option in simulate.params[1:]:
        assert option.help
        assert option.help[0].isupper()
        assert option.help.endswith(".")


def test_an_unknown_option_is_one_sentence(run):
    ran = run("simulate", "--hots", "5")
    assert ran.status == 2
    assert ran.err.startswith("kvtransfer: No such option '--hots'.")
    assert "--host" in ran.err
    assert ran.err.count("\n") == 1
