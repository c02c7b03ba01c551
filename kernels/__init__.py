"""Copies blocks, or tokens of blocks, between paged caches and chunks; knows nothing but tensors."""

if __name__ == "kernels":
    # The repository's root is on sys.path, and transformers looks for another package of this
    # name whenever it is imported. It finds no version here, and goes on without.
    def __getattr__(name: str) -> None:
        raise AttributeError(f"import kvtransfer.kernels; a bare `kernels` has no {name}")

else:
    from .block_copy import BlockCopy, open_copy
    from .quantised_copy import QuantisedCopy, open_quantised
    from .quantised_layout import QuantisedLayout
    from .rotated_scatter import RotatedScatter, open_rotation
    from .rotation import Rotation
    from .shared_work import ALONE, Helpers
    from .token_move import TokenMove

    __all__ = [
        "ALONE",
        "BlockCopy",
        "Helpers",
        "QuantisedCopy",
        "QuantisedLayout",
        "RotatedScatter",
        "Rotation",
        "TokenMove",
        "open_copy",
        "open_quantised",
        "open_rotation",
    ]
