"""The entries of an object store, reached by another client."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from uuid import uuid4

from kvtransfer.stores.disk.file.record_sector import _MAGIC
from kvtransfer.stores.disk.names import path_of
from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.stores.objects.calls import HEADER_BYTES
from kvtransfer.stores.objects.store import ObjectStore
from tests.stores.objects.servers import BUCKET


class ObjectBacking:
    """Objects under a fresh prefix of the bucket on ``server``."""

    def __init__(self, server):
        self.server = server
        self.prefix = f"{uuid4().hex}/chunks"
        self.url = server.url(self.prefix)
        self.client = server.client()
        self.bucket = BUCKET
        self._elapsed = []

    def open(self, chunk, settings):
        return FormattedStore(self.entries(settings), chunk)

    def entries(self, settings):
        patient = replace(settings, timeout_s=120)
        return ObjectStore(self.url, patient, age_s=self.age_s)

    def age_s(self, modified):
        """Seconds that have passed since then, and those that a test let pass."""
        written_s = modified.timestamp()
        more_s = sum(seconds for at_s, seconds in self._elapsed if written_s < at_s)
        return time.time() - written_s + more_s

    def elapse(self, seconds):
        """Servers tell times in whole seconds, so one that begins divides old from new objects."""
        second = int(time.time()) + 1
        while time.time() < second:
            time.sleep(second - time.time())
        self._elapsed.append((second, seconds))

    def name(self, key):
        return f"{self.prefix}/{path_of(key)}"

    def whole(self, key):
        """The content of the object of ``key``; None where there is none."""
        try:
            return self.client.get_object(Bucket=BUCKET, Key=self.name(key))["Body"].read()
        except self.client.exceptions.NoSuchKey:
            return None

    def replace(self, key, content):
        if content is None:
            self.client.delete_object(Bucket=BUCKET, Key=self.name(key))
        else:
            self.client.put_object(Bucket=BUCKET, Key=self.name(key), Body=content)

    def names(self):
        """The names of all objects below our prefix."""
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=self.prefix)
        return [each["Key"] for each in found.get("Contents", ())]

    def payload(self, key):
        return self._halves(key)[1]

    def fields(self, key):
        header = self._halves(key)[0]
        return None if header is None else json.loads(header.removeprefix(_MAGIC).rstrip(b"\0"))

    def set_payload(self, key, payload):
        self._put_together(key, self._halves(key)[0], payload)

    def set_fields(self, key, fields):
        header = None
        if fields is not None:
            header = (_MAGIC + json.dumps(fields).encode()).ljust(HEADER_BYTES, b"\0")
        self._put_together(key, header, self._halves(key)[1])

    def _halves(self, key):
        whole = self.whole(key)
        if whole is None:
            return None, None
        if not whole.startswith(_MAGIC):
            return None, whole
        return whole[:HEADER_BYTES], whole[HEADER_BYTES:]

    def _put_together(self, key, header, payload):
        is_nothing = header is None and payload is None
        self.replace(key, None if is_nothing else (header or b"") + (payload or b""))
