"""The arithmetic of a JPEG round trip, equal to libjpeg-turbo's to the bit. numba compiles it for this processor.

Each step names the file of libjpeg-turbo that it reproduces. `fct.jpeg.arrays` calls this module.

All code that is compiled together is in this file: numba caches the result next to it, and does not notice changes in
other files. numba widens integers to 64 bits, and then only half as many fit into a vector register. So each step casts
them back to 32 bits. LANES blocks are transformed at a time, one in each lane.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import float32, int32, uint8

from fct.jpeg.compiled import OPTIONS, compiled, part

LANES = 8  # int32 in a register of AVX2. On AVX-512, 16 is not faster, and small chroma planes would not fill it
# Bits that are dropped after rows and columns of the forward DCT (jfdctint.c), and after columns and rows of the
# inverse DCT (jidctint.c): CONST_BITS -+ PASS1_BITS, and 3 more for the scale of 8.
BITS_1, BITS_2, BITS_3, BITS_4 = 11, 15, 11, 18


@compiled
def interleaved(source, target, height, down, across, tables, quality):
    """Compress RGB images [N, H, 3 W]."""
    width = source.shape[2] // 3
    luma, full, small, line = _planes(height, width, down, across)
    for image in range(len(source)):
        _to_ycc(source[image], luma, full, height, width, 3, 0, 1)
        _distort_colour(luma, full, small, line, height, width, down, across, tables[quality[image]])
        _to_rgb(luma, full, target[image], height, width, 3, 0, 1)


@compiled
def planar(source, target, height, down, across, tables, quality):
    """Compress RGB images [N, 3 H, W]."""
    width = source.shape[2]
    luma, full, small, line = _planes(height, width, down, across)
    for image in range(len(source)):
        _to_ycc(source[image], luma, full, height, width, 1, height, 0)
        _distort_colour(luma, full, small, line, height, width, down, across, tables[quality[image]])
        _to_rgb(luma, full, target[image], height, width, 1, height, 0)


@compiled
def grey(source, target, height, down, across, tables, quality):  # noqa: ARG001  # same arguments as the others
    """Compress grey images [N, H, W]."""
    width = source.shape[2]
    luma = np.empty((_blocks(height), _blocks(width)), np.uint8)
    for image in range(len(source)):
        luma[:height, :width] = source[image]
        _pad_right(luma, height, width)
        _pad_down(luma, height)
        _distort(luma, tables[quality[image], 0])
        target[image] = luma[:height, :width]


@part
def _blocks(pixels):
    """Return the number of pixels, rounded up to whole blocks."""
    return (pixels + 7) // 8 * 8


@part
def _planes(height, width, down, across):
    """Return scratch arrays: luma, chroma at full size [2, rows, columns], both chromas downsampled, and a line."""
    rows, columns = (height + down - 1) // down, (width + across - 1) // across
    luma = np.empty((_blocks(height), _blocks(width)), np.uint8)
    full = np.empty((2, rows * down, _blocks(columns) * across), np.uint8)
    small = np.empty((2 * _blocks(rows), _blocks(columns)), np.uint8)
    return luma, full, small, np.empty(columns + 2, np.int32)


@part
def _to_ycc(source, luma, full, height, width, step, row, column):
    """Convert RGB to YCbCr (jccolor.c: constants of 16 bits).

    Channel c of pixel (y, x) is at [y + c * row, x * step + c * column].
    """
    for y in range(height):
        for x in range(width):
            red = int32(source[y, step * x])
            green = int32(source[y + row, step * x + column])
            blue = int32(source[y + 2 * row, step * x + 2 * column])
            luma[y, x] = int32(19595 * red + 38470 * green + 7471 * blue + 32768) >> 16
            full[0, y, x] = int32(-11059 * red - 21709 * green + 32768 * blue + 8421375) >> 16
            full[1, y, x] = int32(32768 * red - 27439 * green - 5329 * blue + 8421375) >> 16


@part
def _to_rgb(luma, full, target, height, width, step, row, column):
    """Convert YCbCr to RGB (jdcolor.c). `step`, `row` and `column` are those of `_to_ycc`."""
    for y in range(height):
        for x in range(width):
            light = int32(luma[y, x])
            blueness, redness = int32(int32(full[0, y, x]) - 128), int32(int32(full[1, y, x]) - 128)
            red = light + (int32(91881 * redness + 32768) >> 16)
            green = light + (int32(-22554 * blueness - 46802 * redness + 32768) >> 16)
            blue = light + (int32(116130 * blueness + 32768) >> 16)
            target[y, step * x] = _byte(red)
            target[y + row, step * x + column] = _byte(green)
            target[y + 2 * row, step * x + 2 * column] = _byte(blue)


@part
def _byte(value):
    return uint8(min(max(int32(value), int32(0)), int32(255)))


@part
def _distort_colour(luma, full, small, line, height, width, down, across, tables):
    """Compress an image in YCbCr and decompress it, in place.

    Before downsampling, columns are padded to whole blocks and rows to a whole pair. Afterwards the last downsampled
    row is repeated (jcprepct.c, jcsample.c).
    """
    _pad_right(luma, height, width)
    _pad_down(luma, height)
    _distort(luma, tables[0])
    for chroma in range(2):
        _pad_right(full[chroma], height, width)
        _pad_down(full[chroma], height)
    rows = (height + down - 1) // down
    half = small.shape[0] // 2
    for chroma in range(2):
        _downsample(full[chroma], small[chroma * half : chroma * half + half], rows, down, across)
        _pad_down(small[chroma * half : chroma * half + half], rows)
    _distort(small, tables[1])
    for chroma in range(2):
        _upsample(small[chroma * half : chroma * half + half], full[chroma], line, rows, height, width, down, across)


@part
def _pad_right(plane, height, width):
    for y in range(height):
        for x in range(width, plane.shape[1]):
            plane[y, x] = plane[y, width - 1]


@part
def _pad_down(plane, height):
    for y in range(height, plane.shape[0]):
        for x in range(plane.shape[1]):
            plane[y, x] = plane[height - 1, x]


@part
def _downsample(full, small, rows, down, across):
    """Average pairs or squares. Halves are rounded up and down in turn (jcsample.c: the "bias")."""
    if across == 1:
        small[:rows] = full[:rows]
        return
    first = 1 if down == 2 else 0  # if only columns are halved, upper and lower are the same row
    for y in range(rows):
        upper, lower = down * y, down * y + down - 1
        for x in range(small.shape[1]):
            four = int32(full[upper, 2 * x]) + int32(full[upper, 2 * x + 1])
            four += int32(full[lower, 2 * x]) + int32(full[lower, 2 * x + 1])
            small[y, x] = int32(four + first + (x & 1) * (2 - first)) >> 2


@part
def _upsample(small, full, line, rows, height, width, down, across):
    """Interpolate in each direction that was halved: 3/4 of the nearer sample and 1/4 of the next (jdsample.c).

    The last neighbour is at the end of the image, not of its last block. Planes of one or two columns are repeated.
    """
    columns = (width + across - 1) // across
    for y in range(height):
        near = y // down
        if across == 1:
            full[y] = small[y]
        elif columns <= 2:
            for x in range(columns):
                full[y, 2 * x] = small[near, x]
                full[y, 2 * x + 1] = small[near, x]
        else:
            far = near if down == 1 else min(max(near + 2 * (y & 1) - 1, 0), rows - 1)
            for x in range(columns):
                line[1 + x] = 3 * int32(small[near, x]) + int32(small[far, x])
            line[0], line[columns + 1] = line[1], line[columns]
            left, right = (8, 7) if down == 2 else (4, 8)  # rounding
            for x in range(columns):
                near3 = int32(3 * line[1 + x])
                full[y, 2 * x] = uint8(int32(near3 + line[x] + left) >> 4)
                full[y, 2 * x + 1] = uint8(int32(near3 + line[x + 2] + right) >> 4)


@numba.njit(**OPTIONS)  # compiled once for all callers
def _distort(plane, table):
    """Apply DCT, quantisation and inverse DCT to each block of a plane [8 n, 8 m], in place."""
    block = np.empty((8, 8, LANES), np.int32)
    block[:] = 0
    across = plane.shape[1] // 8
    total = across * (plane.shape[0] // 8)
    for first in range(0, total, LANES):
        count = min(LANES, total - first)
        for lane in range(count):
            top, left = (first + lane) // across * 8, (first + lane) % across * 8
            for y in range(8):
                for x in range(8):
                    block[y, x, lane] = int32(plane[top + y, left + x]) - 128
        _transform(block)
        _quantise(block, table)
        _inverse_transform(block)
        for lane in range(count):
            top, left = (first + lane) // across * 8, (first + lane) % across * 8
            for y in range(8):
                for x in range(8):
                    plane[top + y, left + x] = uint8(block[y, x, lane])


@part
def _transform(b):
    """Compute the DCT of LANES blocks of samples around zero, int32 [8, 8, LANES], in place, scaled by 8."""
    for y in range(8):
        for i in range(LANES):
            b[y, 0, i], b[y, 1, i], b[y, 2, i], b[y, 3, i], b[y, 4, i], b[y, 5, i], b[y, 6, i], b[y, 7, i] = _forward(
                b[y, 0, i], b[y, 1, i], b[y, 2, i], b[y, 3, i], b[y, 4, i], b[y, 5, i], b[y, 6, i], b[y, 7, i], BITS_1
            )
    for x in range(8):
        for i in range(LANES):
            b[0, x, i], b[1, x, i], b[2, x, i], b[3, x, i], b[4, x, i], b[5, x, i], b[6, x, i], b[7, x, i] = _forward(
                b[0, x, i], b[1, x, i], b[2, x, i], b[3, x, i], b[4, x, i], b[5, x, i], b[6, x, i], b[7, x, i], BITS_2
            )


@part
def _quantise(b, table):
    """Round each coefficient to the nearest multiple of its step (jcdctmgr.c), in place.

    Coefficients and divisor are scaled by 8. The quotient is exact: for numbers below 2^22, the added half is larger
    than the rounding errors of reciprocal and product.
    """
    for y in range(8):
        for x in range(8):
            step = table[y, x]
            reciprocal, half = float32(1) / float32(8 * step), float32(4 * step) + float32(0.5)
            for i in range(LANES):
                value = b[y, x, i]
                nearest = int32(int32((float32(abs(value)) + half) * reciprocal) * step)
                b[y, x, i] = nearest if value >= 0 else int32(-nearest)


@part
def _inverse_transform(b):
    """Compute the inverse DCT, in place. The result has samples 0..255."""
    for x in range(8):
        for i in range(LANES):
            b[0, x, i], b[1, x, i], b[2, x, i], b[3, x, i], b[4, x, i], b[5, x, i], b[6, x, i], b[7, x, i] = _inverse(
                b[0, x, i], b[1, x, i], b[2, x, i], b[3, x, i], b[4, x, i], b[5, x, i], b[6, x, i], b[7, x, i], BITS_3
            )
    for y in range(8):
        for i in range(LANES):
            b[y, 0, i], b[y, 1, i], b[y, 2, i], b[y, 3, i], b[y, 4, i], b[y, 5, i], b[y, 6, i], b[y, 7, i] = _inverse(
                b[y, 0, i], b[y, 1, i], b[y, 2, i], b[y, 3, i], b[y, 4, i], b[y, 5, i], b[y, 6, i], b[y, 7, i], BITS_4
            )
    for y in range(8):
        for x in range(8):
            for i in range(LANES):
                b[y, x, i] = min(max(int32(b[y, x, i] + 128), int32(0)), int32(255))


@part
def _forward(x0, x1, x2, x3, x4, x5, x6, x7, bits):
    """Return the DCT of eight samples, without its last `bits` bits (jfdctint.c: Loeffler, Ligtenberg, Moschytz)."""
    half = int32(1 << (bits - 1))
    t0, t7 = int32(x0 + x7), int32(x0 - x7)
    t1, t6 = int32(x1 + x6), int32(x1 - x6)
    t2, t5 = int32(x2 + x5), int32(x2 - x5)
    t3, t4 = int32(x3 + x4), int32(x3 - x4)
    t10, t13 = int32(t0 + t3), int32(t0 - t3)
    t11, t12 = int32(t1 + t2), int32(t1 - t2)
    y0 = int32(int32(int32(t10 + t11) * 8192) + half) >> bits
    y4 = int32(int32(int32(t10 - t11) * 8192) + half) >> bits
    z = int32(int32(int32(t12 + t13) * 4433) + half)
    y2 = int32(z + int32(t13 * 6270)) >> bits
    y6 = int32(z - int32(t12 * 15137)) >> bits
    t4, t5, t6, t7 = _odd(t4, t5, t6, t7, half)
    return y0, t7 >> bits, y2, t6 >> bits, y4, t5 >> bits, y6, t4 >> bits


@part
def _inverse(x0, x1, x2, x3, x4, x5, x6, x7, bits):
    """Return the inverse DCT of eight coefficients, without its last `bits` bits (jidctint.c)."""
    half = int32(1 << (bits - 1))
    z = int32(int32(x2 + x6) * 4433)
    t2, t3 = int32(z - int32(x6 * 15137)), int32(z + int32(x2 * 6270))
    t0 = int32(int32(int32(x0 + x4) * 8192) + half)
    t1 = int32(int32(int32(x0 - x4) * 8192) + half)
    t10, t13 = int32(t0 + t3), int32(t0 - t3)
    t11, t12 = int32(t1 + t2), int32(t1 - t2)
    x7, x5, x3, x1 = _odd(x7, x5, x3, x1, int32(0))
    return (
        int32(t10 + x1) >> bits,
        int32(t11 + x3) >> bits,
        int32(t12 + x5) >> bits,
        int32(t13 + x7) >> bits,
        int32(t13 - x7) >> bits,
        int32(t12 - x5) >> bits,
        int32(t11 - x3) >> bits,
        int32(t10 - x1) >> bits,
    )


@part
def _odd(t4, t5, t6, t7, half):
    """Return the odd half of both transforms. Its matrix is symmetric."""
    z1, z2 = int32(int32(t4 + t7) * -7373), int32(int32(t5 + t6) * -20995)
    z3, z4 = int32(t4 + t6), int32(t5 + t7)
    z5 = int32(int32(int32(z3 + z4) * 9633) + half)
    z3, z4 = int32(int32(z3 * -16069) + z5), int32(int32(z4 * -3196) + z5)
    return (
        int32(int32(int32(t4 * 2446) + z1) + z3),
        int32(int32(int32(t5 * 16819) + z2) + z4),
        int32(int32(int32(t6 * 25172) + z2) + z3),
        int32(int32(int32(t7 * 12299) + z1) + z4),
    )
