"""Serves channels to one bucket, until the process that started this one ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kvtransfer.client_programs.serving import serve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kvtransfer.client_programs.objects.joined import ObjectClient


def join(settings: Mapping[str, Any]) -> ObjectClient:
    """Import obstore and make its client; whatever is in the way is told."""
    from kvtransfer.client_programs.objects.joined import ObjectClient

    return ObjectClient(settings)


if __name__ == "__main__":
    serve(join)
