"""The arithmetic of :mod:`.quantised_reference` as the Triton kernels do it, bit by bit the same.

NaNs are told apart by comparisons and written as constants, since a GPU, a processor and Triton's
interpreter, by which the tests run this, leave other bits in them, and so is the sign of a zero.
Conversions to and from bfloat16 shift integers, because the interpreter would cut bits off. The
kernels are compiled without fused multiply-add, which would round a product and a sum at once.
"""

import triton
import triton.language as tl


@triton.jit
def widened(numbers, ELEMENT: tl.constexpr):
    """Return numbers of the planes, bfloat16 as the bits of it, as fp32."""
    if ELEMENT == tl.uint16:  # noqa: SIM300 - a name in capitals is no constant here
        return (numbers.to(tl.uint32) << 16).to(tl.float32, bitcast=True)
    else:
        return numbers.to(tl.float32)


@triton.jit
def group_scales(lowest, highest, has_nan, LEVELS: tl.constexpr):
    """Return minimum and step of groups, as the bits of fp16."""
    span = highest - lowest
    step = tl.div_rn(span, tl.full(span.shape, LEVELS, tl.float32))
    undefined = (has_nan != 0) | (step != step)
    return _half_bits(lowest, undefined), _half_bits(step, undefined)


@triton.jit
def _half_bits(numbers, undefined):
    limited = tl.minimum(tl.maximum(numbers, -65504.0), 65504.0)
    bits = limited.to(tl.float16).to(tl.uint16, bitcast=True)
    bits = tl.where(bits == 0x8000, 0, bits)
    return tl.where(undefined, 0x7E00, bits).to(tl.uint16)


@triton.jit
def codes_of(numbers, minimum, step, LEVELS: tl.constexpr):
    """Return int32 codes of numbers, whose minimum and step are the bits of fp16."""
    low = minimum.to(tl.float16, bitcast=True).to(tl.float32)
    width = step.to(tl.float16, bitcast=True).to(tl.float32)
    inverse = tl.div_rn(tl.full(width.shape, 1.0, tl.float32), tl.where(width == 0, 1.0, width))
    inverse = tl.where(width == 0, 0.0, inverse)
    scaled = (numbers - low) * inverse
    scaled = tl.where(scaled > 0, scaled, 0.0)  # NaNs, too
    # To 2 ** 23 no fraction can be added: the lowest bits of the sum are the nearest whole number.
    rounded = tl.minimum(scaled, LEVELS) + 8388608.0
    return rounded.to(tl.int32, bitcast=True) & LEVELS


@triton.jit
def numbers_of(codes, minimum, step, ELEMENT: tl.constexpr):
    """Return what the planes hold, bfloat16 as the bits of it, of codes and the bits of scales."""
    low = minimum.to(tl.float16, bitcast=True).to(tl.float32)
    width = step.to(tl.float16, bitcast=True).to(tl.float32)
    counted = (codes | 0x4B000000).to(tl.float32, bitcast=True) - 8388608.0
    numbers = low + counted * width
    if ELEMENT == tl.uint16:  # noqa: SIM300
        bits = numbers.to(tl.uint32, bitcast=True)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        return tl.where(numbers == numbers, rounded, 0x7FC0).to(tl.uint16)
    elif ELEMENT == tl.float16:  # noqa: SIM300
        limited = tl.minimum(tl.maximum(numbers, -65504.0), 65504.0)
        bits = limited.to(tl.float16).to(tl.uint16, bitcast=True)
        bits = tl.where(numbers == numbers, bits, 0x7E00).to(tl.uint16)
        return bits.to(tl.float16, bitcast=True)
    else:
        bits = numbers.to(tl.uint32, bitcast=True)
        bits = tl.where(numbers == numbers, bits, 0x7FC00000).to(tl.uint32)
        return bits.to(tl.float32, bitcast=True)
