"""Object stores that run here: SeaweedFS, which is one, and moto, which imitates AWS."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

BIN = Path(sys.executable).parent
ACCESS_KEY, SECRET_KEY = "kvkey", "kvsecret" + "123"
READERS_KEY = "kvreader"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
BUCKET = "kvtransfer-chunks"
_START_S = 120.0
_OWNER, _OWNERS_SECRET = "owner", "owner" + "secret"


def free_ports(count):
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


class ObjectServer:
    """A server with one empty bucket; it ends with the context.

    It speaks TLS where there is an ``authority`` to sign its certificate.
    """

    def __init__(self, authority=None):
        self.authority = authority
        self.folder = tempfile.TemporaryDirectory(prefix="kv-objects-")
        self.log = Path(self.folder.name) / "log"
        self.port = 0
        self.process = None

    def choose_ports(self):
        raise NotImplementedError

    def command(self):
        raise NotImplementedError

    def endpoint(self, port=None):
        scheme = "http" if self.authority is None else "https"
        return f"{scheme}://127.0.0.1:{port or self.port}"

    def url(self, prefix="", port=None):
        return f"s3://{BUCKET}/{prefix}?endpoint={self.endpoint(port)}&region=us-east-1"

    def client(self):
        """The side door: another client than ours, of the bucket's owner."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint(),
            verify=self.authority and str(self.authority.certificate),
            region_name="us-east-1",
            aws_access_key_id=_OWNER,
            aws_secret_access_key=_OWNERS_SECRET,
            config=Config(retries={"max_attempts": 10}),
        )

    def start(self):
        with self.log.open("ab") as log:
            environment = {**os.environ, "TMPDIR": self.folder.name}
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, env=environment)
        self._await(lambda client: client.list_buckets())

    def create_bucket(self):
        """With one object at first: that takes SeaweedFS long, as it makes files for the bucket."""
        self._await(lambda client: client.create_bucket(Bucket=BUCKET))
        self._await(lambda client: client.put_object(Bucket=BUCKET, Key="first", Body=b"x"))
        self._await(lambda client: client.delete_object(Bucket=BUCKET, Key="first"))

    def signal(self, number):
        os.kill(self.process.pid, number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def _await(self, call):
        """Until ``call`` works; or it never does."""
        deadline_s = time.monotonic() + _START_S
        while True:
            try:
                return call(self.client())
            except (BotoCoreError, ClientError) as error:
                if self.process.poll() is not None or time.monotonic() > deadline_s:
                    raise AssertionError(self.log.read_text()[-3000:]) from error
            time.sleep(0.1)

    def __enter__(self):
        try:
            self._start_on_free_ports()
            self.create_bucket()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.signal(signal.SIGCONT)
            self.kill()
        self.folder.cleanup()

    def _start_on_free_ports(self):
        """Another process may take a port before the server does: then on others."""
        for is_last in (False, False, True):
            self.choose_ports()
            try:
                return self.start()
            except AssertionError:
                self.kill()
                if is_last:
                    raise


class SeaweedFS(ObjectServer):
    """Starts again with what it held, which is in ``volumes`` files at most."""

    def __init__(self, volumes=30):
        super().__init__()
        self._volumes = volumes
        users = [
            _user("owner", _OWNER, _OWNERS_SECRET, ["Admin", "Read", "Write", "List"]),
            _user("kvtransfer", ACCESS_KEY, SECRET_KEY, ["Read", "Write", "List"]),
            _user("reader", READERS_KEY, SECRET_KEY, ["Read", "List"]),
        ]
        config = Path(self.folder.name) / "s3.json"
        config.write_text(json.dumps({"identities": users}))

    def choose_ports(self):
        names, ports = ("master", "volume", "filer", "s3"), free_ports(8)
        self._ports = dict(zip(names, ports[:4], strict=True))
        self._grpc = dict(zip(names, ports[4:], strict=True))
        self.port = self._ports["s3"]

    def command(self):
        folder = self.folder.name
        return [
            BIN / "weed", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}",
            *(f"-{name}.port={port}" for name, port in self._ports.items()),
            *(f"-{name}.port.grpc={port}" for name, port in self._grpc.items()),
            "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false",
            f"-filer.localSocket={folder}/filer", f"-s3.localSocket={folder}/s3",
            "-filer", "-s3", f"-s3.config={folder}/s3.json", "-master.volumeSizeLimitMB=64",
            f"-volume.max={self._volumes}",
        ]  # fmt: skip

    def end(self):
        super().end()
        for name, port in self._grpc.items():  # these have no option of their own
            Path(f"/tmp/seaweedfs-{name}-grpc-{port}.sock").unlink(missing_ok=True)

    def mark_volumes(self, how):
        """Make all volumes, once there are as many as may be, ``-readonly`` or ``-writable``."""
        node = self._address("volume")
        numbers = range(1, self._volumes + 1)
        marks = (f"volume.mark -node={node} -volumeId={number} {how}" for number in numbers)
        self._tell("lock", *marks, "unlock")

    def _address(self, name):
        return f"127.0.0.1:{self._ports[name]}.{self._grpc[name]}"

    def _tell(self, *lines):
        """Have lines executed by SeaweedFS's shell."""
        command = [BIN / "weed", "shell", f"-master={self._address('master')}"]
        text = "".join(f"{line}\n" for line in lines)
        done = subprocess.run(
            [*command, f"-filer={self._address('filer')}"],
            input=text, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert "error" not in done.stdout + done.stderr, done.stdout + done.stderr


class Moto(ObjectServer):
    """Holds everything in memory."""

    def choose_ports(self):
        (self.port,) = free_ports(1)

    def command(self):
        command = [BIN / "moto_server", "-H", "127.0.0.1", "-p", str(self.port)]
        if self.authority is None:
            return command
        signed = self.authority.sign("moto")
        return [*command, "-c", str(signed.certificate), "-k", str(signed.key)]


def _user(name, access_key, secret_key, actions):
    credentials = [{"accessKey": access_key, "secretKey": secret_key}]
    return {"name": name, "credentials": credentials, "actions": actions}
