"""Sizes in GiB, as numbers and as people read them. Pure."""


def gibibytes(pieces: int, piece_bytes: int) -> float:
    """The size of ``pieces``, in GiB."""
    return pieces * piece_bytes / 2**30


def size(pieces: int, piece_bytes: int) -> str:
    """The size of ``pieces`` in GiB, formatted."""
    value = gibibytes(pieces, piece_bytes)
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.2g}"
