"""A process that puts entries of one tenant as fast as it can.

Arguments: the URL, the tenant, the writer's number, how many entries, and the tenant's quota in
bytes. It prints a line for the first entry.
"""

from __future__ import annotations

import sys

from tests.stores.ledgers.quotas import NBYTES, opened_for, put


def write(url, tenant, writer, count, quota_bytes):
    with opened_for(url, each_bytes=quota_bytes) as store:
        for number in range(count):
            assert put(store, writer, number, tenant, NBYTES - number % 7)
            if number == 0:
                print("begun", flush=True)


if __name__ == "__main__":
    url, tenant, writer, count, quota_bytes = sys.argv[1:]
    write(url, tenant, int(writer), int(count), int(quota_bytes))
