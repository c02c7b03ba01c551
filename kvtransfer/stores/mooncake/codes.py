"""Says what the numbers of Mooncake's client mean."""

from __future__ import annotations

from kvtransfer.stores.client_process.codes import Codes

_MEANINGS = {
    -1: "its client failed",
    -101: "no memory segment is mounted",
    -103: "the master doesn't know this client",
    -300: "the master has another version than the client",
    -600: "its client refuses the arguments",
    -707: "reading took longer than the lease; start the master with a longer --default_kv_lease_ttl",
    -800: "a transfer failed",
    -801: "the client's own checksum differs",
    -900: "the master doesn't answer",
    -901: "the master doesn't answer in time",
    -1700: "the tenant's quota is used up",
}

CODES = Codes(
    absent=(-704, -710, -712),
    unfit=(-10, -600),
    busy=(-703, -705, -706, -714),
    full=(-200,),
    meanings=_MEANINGS,
)
"""-600 is how reading a value answers that is longer than the room for it."""
