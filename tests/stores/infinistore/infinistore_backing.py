"""Entries of a simulated InfiniStore, reached where it keeps them."""

from __future__ import annotations

import json
import time
from dataclasses import replace

from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.stores.infinistore.store import InfiniStore

PATIENT_S = 120.0
"""However busy the machine is."""


class InfiniStoreBacking:
    def __init__(self, server):
        self._values = server.values
        self.url = f"infinistore://127.0.0.1:{server.port}"
        self.now_s = time.time()

    def open(self, chunk, settings):
        return FormattedStore(self.entries(settings), chunk)

    def entries(self, settings):
        patient = replace(settings, timeout_s=PATIENT_S)
        return InfiniStore(self.url, patient, clock=lambda: self.now_s)

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
        """Without the length that comes first."""
        value = self._values.get(name)
        return None if value is None else value[8:]

    def _set(self, name, value):
        if value is None:
            self._values.pop(name, None)
        else:
            self._values[name] = len(value).to_bytes(8, "little") + value
