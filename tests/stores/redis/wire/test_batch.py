from __future__ import annotations

from kvtransfer.stores.redis.wire.batch import command, sent

PAYLOAD = memoryview(b"0123456789")


def test_what_is_made_while_sending_is_made_when_all_before_it_has_been_sent():
    log = []

    def parts():
        for begin in (0, 4, 8):
            log.append(f"made {begin}")
            yield PAYLOAD[begin : begin + 4]

    commands = [command(b"A"), (b"$10\r\n", parts, b"\r\n"), (lambda: [made(log)],)]
    for piece, more in sent(commands, b""):
        assert more is not (piece == b"\r\nlast")
        log.append(bytes(piece))
    assert log == [
        "made 0",
        b"*1\r\n$1\r\nA\r\n$10\r\n",
        b"0123",
        "made 4",
        b"4567",
        "made 8",
        b"89",
        "made last",
        b"\r\nlast",
    ]


def made(log):
    log.append("made last")
    return b"last"


def test_it_is_made_again_for_each_time_that_it_is_sent():
    commands = [(b"<", lambda: iter([PAYLOAD]), b">")]
    for _ in range(2):
        assert b"".join(pieces(commands, b"!")) == b"!<0123456789>"


def test_no_empty_piece_is_sent():
    commands = [(lambda: iter([PAYLOAD, PAYLOAD]), b"\r\n")]
    assert pieces(commands, b"") == [bytes(PAYLOAD), bytes(PAYLOAD), b"\r\n"]


def pieces(commands, prefix):
    return [bytes(piece) for piece, _ in sent(commands, prefix)]
