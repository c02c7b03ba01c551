import socket
from contextlib import suppress

from demo.pictures import run, stage


def test_a_port_that_is_taken_is_one_sentence(tmp_path, capsys):
    with socket.socket() as other:
        with suppress(OSError):  # taken already
            other.bind(("127.0.0.1", stage.REDIS_PORT))
            other.listen()
        assert run.main(["--folder", str(tmp_path)]) == 2
    assert f"pictures: no Redis on port {stage.REDIS_PORT}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
