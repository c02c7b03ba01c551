import pytest
import redis

from demo.fleet.child import ChildError, free_port
from demo.pictures import stage


def test_a_redis_takes_the_password_of_the_file_and_ends(tmp_path):
    password = stage.write_password(tmp_path)
    assert (tmp_path / stage.PASSWORD_FILE).stat().st_mode & 0o777 == 0o600
    with (
        stage.redis(tmp_path, free_port(), password, stage.TENDED) as url,
        redis.Redis.from_url(url, password=password, decode_responses=True) as client,
    ):
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "allkeys-lru"
    with redis.Redis.from_url(url) as client, pytest.raises(redis.ConnectionError):
        client.ping()


def test_a_port_that_is_taken_is_told(tmp_path):
    port = free_port()
    with (
        stage.redis(tmp_path, port, "one", stage.TENDED),
        pytest.raises(ChildError, match=f"no Redis on port {port}"),
        stage.redis(tmp_path, port, "another", stage.TENDED),
    ):
        pass
