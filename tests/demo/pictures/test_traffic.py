import pytest

from demo.fleet.child import ChildError
from demo.fleet.conversations import Turn
from demo.fleet.load import Client
from demo.pictures.traffic import ask_all, asking
from tests.demo.fleet.children import started

TURNS = [Turn((1, 2, 3), ""), Turn((4, 5), "")]


def test_all_are_asked(tmp_path):
    child, url = started(tmp_path, "yes")
    with child:
        ask_all(Client(url, 1), TURNS)


def test_an_engine_that_does_not_answer_is_told():
    with pytest.raises(ChildError, match="no answer from http"):
        ask_all(Client("http://127.0.0.1:1", 1), TURNS)


def test_asking_ends_with_the_body(tmp_path):
    child, url = started(tmp_path, "yes")
    with child, asking(Client(url, 1), TURNS):
        pass
