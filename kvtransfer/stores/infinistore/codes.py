"""Says what the numbers mean with which InfiniStore, or our program around it, answers."""

from __future__ import annotations

from kvtransfer.stores.client_process.codes import Codes

CODES = Codes(
    absent=(-404,),
    unfit=(-400,),
    busy=(),
    full=(-507,),
    meanings={-500: "the server failed", -503: "the server failed"},
)
"""-400 is how reading a value answers that is longer than the room for it."""
