"""A JPEG's quality is read from its tables."""

import io

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fct.images import tables
from fct.images.tables import UNKNOWN_QUALITY, estimate_quality, ijg_tables

PIXELS = np.random.default_rng(0).integers(0, 256, (17, 23, 3), np.uint8)
IMAGES = {"RGB": Image.fromarray(PIXELS), "L": Image.fromarray(PIXELS[:, :, 0])}


def encode(mode, **options):
    buffer = io.BytesIO()
    IMAGES["RGB"].convert(mode).save(buffer, **{"format": "JPEG"} | options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    "options",
    [{}, {"optimize": True}, {"progressive": True}, {"subsampling": "4:4:4"}, {"subsampling": "4:2:2"}],
    ids=str,
)
def test_every_quality_is_read_exactly(mode, options):
    """Qualities 1 to 100 are read exactly, with any other options of the file."""
    assert [estimate_quality(encode(mode, quality=q, **options)) for q in range(1, 101)] == list(range(1, 101))


def test_the_tables_are_libjpegs():
    """The computed tables are those in a file of each quality, as Pillow reads them."""
    for q in range(1, 101):
        stored = Image.open(io.BytesIO(encode("RGB", quality=q))).quantization
        assert ijg_tables(q).tolist() == [stored[0], stored[1]]


@pytest.mark.parametrize("quality", [10, 35, 60, 90])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_foreign_tables_give_the_nearest(quality, mode):
    """Tables of another program give the quality of the nearest tables."""
    nudged = ijg_tables(quality)
    nudged[:, 1::9] += 1
    assert estimate_quality(encode(mode, qtables=nudged.tolist())) == quality


def test_tables_of_16_bits_are_limited_to_8():
    """The quality of a file with 16-bit tables, as cjpeg writes below quality 25, is read exactly."""
    wide = np.array([tables.LUMINANCE, tables.CHROMINANCE]).reshape(2, 64) * 10  # tables of quality 5 without the limit
    assert wide.max() > 255
    assert estimate_quality(with_tables(encode("RGB", quality=50), wide)) == 5


@pytest.mark.parametrize("quality", [40, 60, 80])
def test_what_is_beyond_eight_bits_counts_as_255(quality):
    """One entry of another program's tables that is far larger pulls no further down than 255 does."""
    wide, limited = ijg_tables(quality), ijg_tables(quality)
    wide[:, 63], limited[:, 63] = 2000, 255
    content = encode("RGB", quality=50)
    assert estimate_quality(with_tables(content, wide)) == estimate_quality(with_tables(content, limited))


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_family_of_the_usual_tables_is_ijg(mode):
    """Whatever the quality, up to the tables of ones that others have too."""
    assert {tables.identify(encode(mode, quality=q)).family for q in range(1, 101)} == {"ijg"}


@pytest.mark.parametrize("planes", [1, 2])
def test_mozjpegs_tables_are_told_apart(planes):
    """By its base table, scaled like libjpeg's: at quality 50 it is the base table itself."""
    base = np.array(tables.MOZJPEG).reshape(64)
    for q in (20, 50, 75, 98):
        scaled = tables._scale(base, q)
        assert tables.identify(encode("RGB", qtables=[scaled.tolist()] * planes)).family == "mozjpeg"
    assert tables._scale(base, 50).max() == 255
    assert tables._scale(base, 50)[0] == base[0]


def test_tables_of_any_other_program_are_other():
    """As those of jpegli, also if the quality is high."""
    import pyjpegli

    for q in (20, 75, 95):
        content = pyjpegli.encode(PIXELS.tobytes(), PIXELS.shape[1], PIXELS.shape[0], q)
        assert tables.identify(content).family == "other"


def test_a_file_without_tables_has_no_family():
    """A PNG has neither a quality nor a family."""
    assert tables.identify(encode("RGB", format="PNG")) == (UNKNOWN_QUALITY, "none")


def with_tables(content, wide):
    """Replace the tables of a JPEG by 16-bit tables."""
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
        encode("RGB", format="PNG"),
        encode("RGB", format="WEBP", quality=20),
        encode("RGB", format="TIFF"),
        b"",
        b"\xff\xd8\xff",
        imagecodecs.jpeg8_encode(PIXELS, level=30)[:4],
    ],
    ids=["png", "webp", "tiff", "empty", "marker", "stump"],
)
def test_anything_else_has_no_quality(content):
    """A file that is not a JPEG, or has no readable tables, gives `UNKNOWN_QUALITY`."""
    assert estimate_quality(content) == UNKNOWN_QUALITY


def test_pixels_are_not_decoded():
    """The quality of a file that ends after its headers is read exactly."""
    content = encode("RGB", quality=37)
    scan = content.index(b"\xff\xda")
    assert estimate_quality(content[: scan + 20]) == 37


def test_a_higher_quality_never_divides_by_more():
    """Each entry of both tables falls or stays as the quality rises, from 255 or less down to 1."""
    entries = tables.all_tables()
    assert (np.diff(entries, axis=0) <= 0).all()
    assert (entries[-1] == 1).all()
    assert entries.max() <= 255
    assert len({pair.tobytes() for pair in entries}) == 100


@settings(max_examples=60)
@given(
    quality=st.integers(1, 100),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    mode=st.sampled_from(["RGB", "L"]),
    subsampling=st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_file_and_its_copy_have_the_same_quality(quality, height, width, mode, subsampling, seed):
    """The quality of any image that Pillow saved is read exactly, also after saving again with the same tables."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    first, second = io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(first, "JPEG", quality=quality, subsampling=subsampling)
    assert estimate_quality(first.getvalue()) == quality
    with Image.open(first) as image:
        image.save(second, "JPEG", quality="keep")
    assert estimate_quality(second.getvalue()) == quality


@pytest.mark.parametrize(("luminance", "chrominance", "nearest"), [(20, 35, 28), (50, 40, 43)])
def test_both_tables_count_for_the_nearest_quality(luminance, chrominance, nearest):
    """A program that scales its two tables differently is given the quality that is nearest to both."""
    own = [ijg_tables(luminance)[0].tolist(), ijg_tables(chrominance)[1].tolist()]
    assert estimate_quality(encode("RGB", qtables=own)) == nearest
