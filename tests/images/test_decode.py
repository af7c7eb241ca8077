"""Image files are decoded to pixels, or are an error with the reason."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fct.images.decode import UnusableImage, decode, resize

RGB = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)
GREY = RGB[:, :, 0]


def encode(image, kind="PNG", **options):
    buffer = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("BMP", {}), ("TIFF", {"compression": "lzma"})]
)
@pytest.mark.parametrize("pixels", [RGB, GREY], ids=["rgb", "grey"])
def test_lossless_formats_are_decoded_exactly(kind, options, pixels):
    """PNG, WebP, BMP and TIFF give the pixels that were saved, grey and RGB."""
    options = {"compression": "tiff_lzw"} if kind == "TIFF" else options
    expected = pixels if pixels.ndim == 3 else np.stack([pixels] * 3, 2)
    assert np.array_equal(decode(encode(pixels, kind, **options), 3), expected)


@pytest.mark.parametrize("pixels", [RGB, GREY], ids=["rgb", "grey"])
def test_data_after_the_image_is_ignored(pixels):
    """A phone can append a video, even with bytes that look like the start of a scan."""
    content = encode(pixels, "JPEG", quality=80)
    assert np.array_equal(decode(content + b"\xff\xda\x00\x02" * 1000, 3), decode(content, 3))


@pytest.mark.parametrize("pixels", [RGB, GREY], ids=["rgb", "grey"])
def test_a_jpeg_is_decoded_like_pillow(pixels):
    """A grey or RGB JPEG gives Pillow's pixels."""
    content = encode(pixels, "JPEG", quality=80)
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    assert np.array_equal(decode(content, 3), expected)


@pytest.mark.parametrize("pixels", [RGB, GREY], ids=["rgb", "grey"])
def test_one_channel_is_luma(pixels):
    """With one channel the result is [H, W, 1], the luma of colours."""
    expected = np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
    assert np.array_equal(decode(encode(pixels), 1), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_an_image_is_turned_upright(orientation, kind):
    """Each of the eight EXIF orientations gives the upright image."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = [
        RGB,
        RGB[:, ::-1],
        RGB[::-1, ::-1],
        RGB[::-1],
        RGB.swapaxes(0, 1),
        np.rot90(RGB, 1),
        RGB[::-1, ::-1].swapaxes(0, 1),
        np.rot90(RGB, -1),
    ][orientation - 1]
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    upright = decode(encode(np.ascontiguousarray(stored), kind, exif=exif, **options), 3)
    assert upright.shape == RGB.shape
    assert np.abs(upright.astype(int) - RGB).max() <= (12 if kind == "JPEG" else 0)


def test_a_damaged_exif_block_is_ignored():
    """EXIF data that cannot be read do not change the image."""
    assert np.array_equal(decode(encode(RGB, "PNG", exif=b"Exif\0\0nonsense"), 3), RGB)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_are_blended_with_white(channels, mode):
    """Transparent pixels become white, and opaque ones stay the same."""
    image = Image.new(mode, (2, 1), (0,) * len(mode))
    image.putpixel((1, 0), (*(50,) * (len(mode) - 1), 255))
    assert decode(encode(image), channels)[0, :, 0].tolist() == [255, 50]


def test_a_palette_image_gives_its_colours():
    """A palette image gives the colours of its palette, and white for its transparent colour."""
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    assert decode(encode(image), 3).tolist() == [[[10, 20, 30], [40, 50, 60]]]
    assert decode(encode(image, transparency=0), 3).tolist() == [[[255, 255, 255], [40, 50, 60]]]


def test_black_and_white_is_grey():
    """An image with one bit per pixel gives 0 and 255."""
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert decode(encode(image), 1).ravel().tolist() == [0, 255]


def test_a_multi_picture_jpeg_gives_the_first_image():
    """Only the first image of a multi-picture JPEG is decoded."""
    first, second = Image.fromarray(RGB), Image.fromarray(RGB[::-1].copy())
    content = encode(first, "MPO", save_all=True, append_images=[second], quality=95)
    assert Image.open(io.BytesIO(content)).n_frames == 2
    assert np.array_equal(decode(content, 3), decode(encode(first, "JPEG", quality=95), 3))


def png(width, height, bits=8):
    """Return a small RGB PNG with a header of any size, and the data of one pixel."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(1 + 3 * bits // 8)))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


FRAMES = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a JPEG, PNG"),
        (b"plain text", "not a JPEG, PNG"),
        (encode(RGB, "GIF"), "not a JPEG, PNG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC image, as phones take them: save it as JPEG"),
        (encode(RGB)[:-200], "damaged or truncated"),
        (encode(RGB, "JPEG")[:-200], "damaged or truncated"),
        (encode(RGB, "WEBP")[:-50], "damaged or truncated|cannot be read"),
        (encode(RGB, "BMP")[:-50], "damaged or truncated"),
        (encode(RGB, "TIFF")[:300], "damaged or truncated|cannot be read"),
        (png(60_000, 60_000), "too large: more than"),
        (png(10_000, 10_000), "too large: 10000 x 10000"),
        (encode(Image.new("L", (66_000, 1))), "too large: 66000 x 1 pixels, and a JPEG"),
        (encode(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:]), "several frames or pages"),
        (
            encode(FRAMES[0], "WEBP", save_all=True, append_images=FRAMES[1:], lossless=True),
            "several frames or pages",
        ),
        (encode(FRAMES[0], "TIFF", save_all=True, append_images=FRAMES[1:]), "several frames or pages"),
        (encode(Image.new("CMYK", (4, 4)), "JPEG"), "neither grey nor RGB: its colours are CMYK"),
        (encode(Image.fromarray(GREY.astype(np.uint16))), "more than 8 bits"),
        (png(1, 1, bits=16), "more than 8 bits"),  # Pillow would drop the lower 8 bits
        (encode(Image.fromarray(GREY.astype(np.float32)), "TIFF"), "more than 8 bits"),
        (encode(Image.new("LAB", (4, 4)), "TIFF"), "its colours are LAB"),
    ],
    ids=range(20),
)
def test_an_unusable_file_is_an_error(content, message):
    """The error for a damaged, oversized, animated or unsupported file has the kind of problem."""
    with pytest.raises(UnusableImage, match=message):
        decode(content, 3)


WHOLE = [encode(RGB, kind) for kind in ("PNG", "JPEG", "WEBP", "BMP", "TIFF")]


@settings(max_examples=300)
@given(st.sampled_from(WHOLE), st.data())
def test_a_damaged_file_raises_no_other_exception(content, data):
    """A file with changed or missing bytes gives pixels or an UnusableImage."""
    damaged = bytearray(content[: data.draw(st.integers(0, len(content)))])
    for _ in range(data.draw(st.integers(0, 8))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        pixels = decode(bytes(damaged), 3)
    except UnusableImage:
        return
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3


@pytest.mark.parametrize(("height", "width"), [(9, 40), (40, 9), (100, 101), (3, 3), (1, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_size_are_resized(height, width, channels):
    """Resizing gives [size, size, C], and a constant image stays constant."""
    image = np.full((height, width, channels), 77, np.uint8)
    assert np.array_equal(resize(image, 16), np.full((16, 16, channels), 77, np.uint8))


def test_resizing_crops_to_the_centre():
    """A wide image is cropped equally on both sides."""
    image = np.zeros((10, 30, 1), np.uint8)
    image[:, 10:20] = 255
    assert (resize(image, 10) == 255).mean() > 0.75
    assert np.array_equal(resize(image, 10), resize(image, 10)[:, ::-1])


def test_an_image_of_the_right_size_does_not_change():
    """An image of the model's size is returned unchanged."""
    image = RGB[:, :12]
    assert np.array_equal(resize(image, 12), image)
