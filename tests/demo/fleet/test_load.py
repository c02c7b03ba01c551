from __future__ import annotations

from threading import Event

from demo.fleet.child import free_port
from demo.fleet.conversations import Turn
from demo.fleet.load import Client, Reply, again_until, hold, read_reply
from tests.demo.fleet.children import started


def test_a_reply_says_whether_it_is_right_and_what_was_cached(tmp_path):
    server, url = started(tmp_path, "yes")
    with server:
        client = Client(url, 4)
        assert client.ask(Turn((1, 2, 3), "yes")) == Reply(True, True, 3, 2)
        assert client.ask(Turn((1, 2, 3), "no")) == Reply(True, False, 3, 2)


def test_no_answer_is_a_failed_request():
    client = Client(f"http://127.0.0.1:{free_port()}", 4)
    assert client.ask(Turn((1,), "yes")) == Reply(is_answered=False, is_right=False)


def test_a_response_without_details_has_nothing_cached():
    said = {"usage": {"prompt_tokens": 3}, "choices": [{"text": " yes"}]}
    assert read_reply(said, "yes") == Reply(True, True, 3, 0)


def test_all_conversations_are_held_each_in_order(tmp_path):
    asked = []

    class Noting:
        def ask(self, turn):
            asked.append(turn)
            return Reply(True, True)

    conversations = [[Turn((number, i), "") for i in range(3)] for number in range(9)]
    assert len(hold(Noting(), conversations)) == 27
    for number in range(9):
        assert [turn for turn in asked if turn.prompt_ids[0] == number] == conversations[number]


def test_conversations_go_on_until_it_is_over():
    is_over = Event()
    held = again_until(is_over, [["a"], ["b"]])
    assert [next(held) for _ in range(3)] == [["a"], ["b"], ["a"]]
    is_over.set()
    assert list(held) == []
