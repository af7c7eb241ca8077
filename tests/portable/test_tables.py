"""A JPEG's quality is told from its tables."""

import io

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fct.portable import tables
from fct.portable.tables import ijg_tables, quality_of

PIXELS = np.random.default_rng(0).integers(0, 256, (17, 23, 3), np.uint8)
IMAGES = {"RGB": Image.fromarray(PIXELS), "L": Image.fromarray(PIXELS[:, :, 0])}


def saved(mode, **options):
    buffer = io.BytesIO()
    IMAGES["RGB"].convert(mode).save(buffer, **{"format": "JPEG"} | options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    "options",
    [{}, {"optimize": True}, {"progressive": True}, {"subsampling": "4:4:4"}, {"subsampling": "4:2:2"}],
    ids=str,
)
def test_every_quality_is_told_exactly(mode, options):
    """Qualities 1 to 100 are told exactly, however the rest of the file is coded."""
    assert [quality_of(saved(mode, quality=q, **options)) for q in range(1, 101)] == list(range(1, 101))


def test_the_tables_are_libjpegs():
    """The computed tables are those that Pillow finds in a file of each quality."""
    for q in range(1, 101):
        found = Image.open(io.BytesIO(saved("RGB", quality=q))).quantization
        assert ijg_tables(q).tolist() == [found[0], found[1]]


@pytest.mark.parametrize("quality", [10, 35, 60, 90])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_foreign_tables_give_the_nearest(quality, mode):
    """Tables a little off a quality's own, as of a program that has its own, give that quality."""
    nudged = ijg_tables(quality)
    nudged[:, 1::9] += 1
    assert quality_of(saved(mode, qtables=nudged.tolist())) == quality


def test_tables_beyond_eight_bits_are_taken_as_limited():
    """A file with 16-bit table entries, as cjpeg writes below quality 25, is told exactly too."""
    wide = np.array([tables.LUMINANCE, tables.CHROMINANCE]).reshape(2, 64) * 10  # the scale of quality 5, not limited
    assert wide.max() > 255
    assert quality_of(with_tables(saved("RGB", quality=50), wide)) == 5


@pytest.mark.parametrize("quality", [40, 60, 80])
def test_what_is_beyond_eight_bits_counts_as_255(quality):
    """One entry of another program's tables that is far larger pulls no further down than 255 does."""
    wide, limited = ijg_tables(quality), ijg_tables(quality)
    wide[:, 63], limited[:, 63] = 2000, 255
    content = saved("RGB", quality=50)
    assert quality_of(with_tables(content, wide)) == quality_of(with_tables(content, limited))


def with_tables(content, wide):
    """Put 16-bit tables in the place of a JPEG's own."""
    zigzag = sorted(range(64), key=lambda i: (i // 8 + i % 8, i // 8 if (i // 8 + i % 8) % 2 else i % 8))
    start = content.index(b"\xff\xdb")
    end = start
    while content[end : end + 2] == b"\xff\xdb":
        end += 2 + int.from_bytes(content[end + 2 : end + 4])
    segments = b"".join(
        b"\xff\xdb" + (3 + 128).to_bytes(2) + bytes([0x10 | slot]) + b"".join(int(t[i]).to_bytes(2) for i in zigzag)
        for slot, t in enumerate(wide)
    )
    return content[:start] + segments + content[end:]


@pytest.mark.parametrize(
    "content",
    [
        saved("RGB", format="PNG"),
        saved("RGB", format="WEBP", quality=20),
        saved("RGB", format="TIFF"),
        b"",
        b"\xff\xd8\xff",
        imagecodecs.jpeg8_encode(PIXELS, level=30)[:4],
    ],
    ids=["png", "webp", "tiff", "empty", "marker", "stump"],
)
def test_anything_else_is_taken_as_lossless(content):
    """What is not a JPEG, or is too damaged to have tables, gives 100."""
    assert quality_of(content) == 100


def test_pixels_are_not_decoded():
    """A file cut off after its headers is told as well as a whole one."""
    content = saved("RGB", quality=37)
    scan = content.index(b"\xff\xda")
    assert quality_of(content[: scan + 20]) == 37


def test_a_higher_quality_never_divides_by_more():
    """Each entry of both tables falls or stays as the quality rises, from 255 or less down to 1."""
    every = tables.all_tables()
    assert (np.diff(every, axis=0) <= 0).all()
    assert (every[-1] == 1).all()
    assert every.max() <= 255
    assert len({each.tobytes() for each in every}) == 100


@settings(max_examples=60, deadline=None)
@given(
    quality=st.integers(1, 100),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    mode=st.sampled_from(["RGB", "L"]),
    subsampling=st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_file_tells_its_quality_and_so_does_its_copy(quality, height, width, mode, subsampling, seed):
    """Whatever it shows: Pillow's file tells what it was saved with, and saved again with its own tables, the same."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    first, second = io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(first, "JPEG", quality=quality, subsampling=subsampling)
    assert quality_of(first.getvalue()) == quality
    with Image.open(first) as image:
        image.save(second, "JPEG", quality="keep")
    assert quality_of(second.getvalue()) == quality


@pytest.mark.parametrize(("luminance", "chrominance", "nearest"), [(20, 35, 28), (50, 40, 43)])
def test_both_tables_count_for_the_nearest_quality(luminance, chrominance, nearest):
    """A program that scales its two tables differently is given the quality that is nearest to both."""
    own = [ijg_tables(luminance)[0].tolist(), ijg_tables(chrominance)[1].tolist()]
    assert quality_of(saved("RGB", qtables=own)) == nearest
