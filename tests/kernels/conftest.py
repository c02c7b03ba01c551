import pytest

from kvtransfer.kernels import paged_copy
from tests.kernels.copies import INTERPRETED


@pytest.fixture(scope="module")
def interpreted():
    """Triton's interpreter runs the kernel, on CPU tensors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paged_copy, "copy_blocks", INTERPRETED)
        yield
