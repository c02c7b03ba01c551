"""Entries in Mooncake Store, reached by its own client: the store contract's side door."""

from __future__ import annotations

import json
import time
from dataclasses import replace

from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.stores.mooncake.store import MooncakeStore

PATIENT_S = 120.0
"""However busy the machine is."""


class MooncakeBacking:
    def __init__(self, servers, side_door):
        self._servers = servers
        self._side_door = side_door
        self.now_s = time.time()

    def open(self, chunk, settings):
        return FormattedStore(self.entries(settings), chunk)

    def entries(self, settings):
        patient = replace(settings, timeout_s=PATIENT_S)
        return MooncakeStore(self._servers.url, patient, clock=lambda: self.now_s)

    def payload(self, key):
        return self._get(f"{key}_bytes")

    def set_payload(self, key, payload):
        self._set(f"{key}_bytes", payload)

    def fields(self, key):
        value = self._get(key)
        return None if value is None else json.loads(value)["fields"]

    def set_fields(self, key, fields):
        value = None
        if fields is not None:
            value = json.dumps({"expiry_s": None, "fields": fields}).encode()
        self._set(key, value)

    def elapse(self, seconds):
        self.now_s += seconds

    def _get(self, name):
        return self._side_door.get(name) or None

    def _set(self, name, value):
        if value:
            assert self._side_door.upsert(name, value) == 0
        else:  # Mooncake holds no empty value
            self._side_door.remove(name, True)
