"""Remembers requests whose loads have failed as a whole, until the engine has dropped them."""

from __future__ import annotations


class WholeFailures:
    """For the scheduler's thread. A step tells the engine; then the workers' report ends it."""

    def __init__(self) -> None:
        self._untold: set[str] = set()
        self._told: set[str] = set()

    def __bool__(self) -> bool:
        """Whether the next step has one to tell."""
        return bool(self._untold)

    def add(self, request_id: str) -> None:
        """All of what the request loads is to be dropped."""
        self._untold.add(request_id)

    def is_told(self, request_id: str) -> bool:
        """Whether a step has told the engine, and its report is awaited."""
        return request_id in self._told

    def forget(self, request_id: str) -> None:
        """The request needs its load no more, or has been received."""
        self._untold.discard(request_id)
        self._told.discard(request_id)

    def take(self) -> frozenset[str]:
        """Return those that the next step tells."""
        taken, self._untold = frozenset(self._untold), set()
        self._told |= taken
        return taken
