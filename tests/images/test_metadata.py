"""What a file says beside its pixels decides the orientation, and nothing else."""

import base64
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fct.images.decode import UnusableImage, decode
from fct.images.tables import estimate_quality

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)
ORIENTATION, TURN_RIGHT = 0x0112, 6  # the tag, and its value for an image to turn by 90 degrees
TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # bytes, by TIFF type
TYPE_SIZES |= {0: 1, 13: 4, 14: 1, 16: 8, 99: 1}  # newer types, and types that do not exist
USUAL_TAGS = (0x0100, 0x0101, 0x010F, 0x011A, 0x011B, 0x0128, 0x0132, 0x02BC, 0x8298, 0x8769, 0x8825, 0x927C)


def encode(kind, **options):
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind, body, damage=0):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body) ^ damage)


def segment(code, body):
    return bytes([0xFF, code]) + struct.pack(">H", len(body) + 2) + body


PLAIN = {kind: encode(kind) for kind in ("JPEG", "PNG")}


def with_chunk(chunk):
    """Return a PNG with one more chunk after its header."""
    return PLAIN["PNG"][:33] + chunk + PLAIN["PNG"][33:]


def with_segment(segment):
    """Return a JPEG with one more segment at its start."""
    return PLAIN["JPEG"][:2] + segment + PLAIN["JPEG"][2:]


def directory(tags, order):
    """Return a TIFF header with one directory of tags: (number, type, count, bytes)."""
    start, values, entries = 8 + 2 + 12 * len(tags) + 4, b"", b""
    for number, kind, count, value in tags:
        short = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack(f"{order}I", start + len(values))
        values += value if len(value) > 4 else b""
        entries += struct.pack(f"{order}HHI", number, kind, count) + short
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(tags))
    return head + entries + bytes(4) + values


def short(number, value, order):
    return (number, 3, 1, struct.pack(f"{order}H", value))


@st.composite
def other_tags(draw):
    """Return a tag of any number, type, count and value: many are wrong."""
    number = draw(st.sampled_from(USUAL_TAGS) | st.integers(0, 65535).filter(lambda number: number != ORIENTATION))
    kind = draw(st.sampled_from(sorted(TYPE_SIZES)))
    count = draw(st.integers(0, 3) | st.sampled_from([100, 2**31]))
    size = TYPE_SIZES[kind] * min(count, 4)
    return number, kind, count, draw(st.binary(min_size=size, max_size=size) | st.just(b"\xff" * size))


@settings(max_examples=150)
@given(st.sampled_from("<>"), st.lists(other_tags(), min_size=1, max_size=3), st.sampled_from(["JPEG", "PNG", "WEBP"]))
def test_an_ill_typed_tag_leaves_the_orientation(order, tags, kind):
    """An image is turned upright whatever the tags beside its orientation hold."""
    block = directory(sorted([*tags, short(ORIENTATION, TURN_RIGHT, order)]), order)
    exif = b"Exif\0\0" + block
    if kind == "WEBP":
        content, plain = encode("WEBP", lossless=True, exif=exif), encode("WEBP", lossless=True)
    else:
        plain = PLAIN[kind]
        content = with_segment(segment(0xE1, exif)) if kind == "JPEG" else with_chunk(chunk(b"eXIf", block))
    assert np.array_equal(decode(content, 3), np.rot90(decode(plain, 3), -1))


FORMAT_TAGS = {0x0100, 0x0101, 0x0102, 0x0103, 0x0106, 0x010A, 0x0111, 0x0115, 0x0116, 0x0117, 0x011C, 0x013D, 0x0140}
FORMAT_TAGS |= {0x0142, 0x0143, 0x0144, 0x0145, 0x0152, 0x0153, 0x015B, 0x0212}  # how a TIFF is decoded
whole_tags = other_tags().filter(lambda tag: tag[0] not in FORMAT_TAGS and tag[2] <= 3)  # with all bytes of their value


@settings(max_examples=150)
@given(st.sampled_from("<>"), whole_tags)
def test_an_ill_typed_tag_of_a_tiff_leaves_its_image(order, tag):
    """A TIFF, whose EXIF data are its own directory, is turned upright too."""
    shorts = {0x0100: 20, 0x0101: 12, 0x0103: 1, 0x0106: 2, ORIENTATION: TURN_RIGHT, 0x0115: 3, 0x0116: 12}
    tags = [short(number, value, order) for number, value in shorts.items()]
    tags += [tag, (0x0102, 3, 3, struct.pack(f"{order}3H", 8, 8, 8))]
    tags += [(0x0117, 4, 1, struct.pack(f"{order}I", PIXELS.size))]
    position = len(directory([*tags, (0x0111, 4, 1, bytes(4))], order))
    head = directory(sorted([*tags, (0x0111, 4, 1, struct.pack(f"{order}I", position))]), order)
    assert np.array_equal(decode(head + PIXELS.tobytes(), 3), np.rot90(PIXELS, -1))


def test_an_ill_typed_tag_of_an_avif_leaves_its_image():
    """An AVIF has its orientation elsewhere, where Pillow would write it into the EXIF data."""
    exif = Image.Exif()
    exif[ORIENTATION], exif[0x0101] = TURN_RIGHT, 70_000
    whole = encode("AVIF", exif=exif)
    ill_typed = whole.replace(struct.pack(">HHII", 0x0101, 4, 1, 70_000), struct.pack(">HHIhh", 0x0101, 8, 1, -1, 0))
    assert ill_typed != whole
    assert np.array_equal(decode(ill_typed, 3), decode(whole, 3))
    assert decode(ill_typed, 3).shape == (20, 12, 3)


BIG = bytes(2 << 20)
CHUNKS = {
    "text": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(BIG)),
    "profile": chunk(b"iCCP", b"profile\0\0" + zlib.compress(BIG)),
    "xmp": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(BIG)),
    "exif as text": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(BIG)),
    "long xmp": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + BIG),
    "undeflated xmp": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0no deflate"),
    "wrong checksum": chunk(b"tEXt", b"Comment\0text", damage=1),
    "unknown compression": chunk(b"iCCP", b"profile\0\x09"),
    "short profile": chunk(b"iCCP", b"profile"),
    "short density": chunk(b"pHYs", b"1"),
    "text called interlace": chunk(b"tEXt", b"interlace\0yes"),
    "text called transparency": chunk(b"tEXt", b"transparency\0yes"),
    "text called xmp": chunk(b"tEXt", b"xmp\0yes"),
}


@pytest.mark.parametrize("chunk", CHUNKS.values(), ids=CHUNKS)
@pytest.mark.parametrize("place", ["before the pixels", "after the pixels"])
def test_a_chunk_without_pixels_leaves_a_png_as_it_is(chunk, place):
    """A large, damaged or misleading text or colour profile of a PNG changes nothing."""
    content = with_chunk(chunk) if place == "before the pixels" else PLAIN["PNG"][:-12] + chunk + PLAIN["PNG"][-12:]
    assert np.array_equal(decode(content, 3), PIXELS)


XMP = b'<rdf:Description tiff:Orientation="6"/>'
EXIF_AS_TEXT = (b"Exif\0\0" + directory([short(ORIENTATION, TURN_RIGHT, ">")], ">")).hex().encode()
TURNED = {
    "xmp": b"XML:com.adobe.xmp\0\0\0\0\0" + XMP,
    "long xmp": b"XML:com.adobe.xmp\0\0\0\0\0" + XMP + bytes(2 << 20),
    "deflated xmp": b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP),
}


@pytest.mark.parametrize("text", TURNED.values(), ids=TURNED)
def test_xmp_of_a_png_can_hold_the_orientation(text):
    """An image without EXIF data is turned by its XMP."""
    assert np.array_equal(decode(with_chunk(chunk(b"iTXt", text)), 3), np.rot90(PIXELS, -1))


def test_a_text_of_a_png_can_hold_exif_data():
    """ImageMagick writes EXIF data of a PNG as a text of hexadecimal digits."""
    text = b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n      26\n" + EXIF_AS_TEXT)
    assert np.array_equal(decode(with_chunk(chunk(b"zTXt", text)), 3), np.rot90(PIXELS, -1))


SEGMENT_STARTS = (
    b"",
    b"JFIF\0",
    b"Exif\0\0",
    b"ICC_PROFILE\0",
    b"MPF\0",
    b"Photoshop 3.0\0" + b"8BIM\x03\xed",
    b"Adobe",
)


@settings(max_examples=200)
@given(
    st.sampled_from([*range(0xE0, 0xF0), 0xFE]),
    st.sampled_from(SEGMENT_STARTS),
    st.binary(max_size=6) | st.just(b"\xff" * 6),
)
def test_a_damaged_note_leaves_a_jpeg_as_it_is(code, start, body):
    """A segment for a program's notes that is too short or wrong changes no pixel."""
    assert np.array_equal(decode(with_segment(segment(code, start + body)), 3), decode(PLAIN["JPEG"], 3))


def test_a_jpeg_with_a_damaged_note_is_still_turned():
    """A damaged note beside the EXIF data leaves the orientation."""
    exif = b"Exif\0\0" + directory([short(ORIENTATION, TURN_RIGHT, ">")], ">")
    content = with_segment(segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x03\xed") + segment(0xE1, exif))
    assert np.array_equal(decode(content, 3), np.rot90(decode(PLAIN["JPEG"], 3), -1))


def test_a_damaged_note_leaves_the_quality_of_a_jpeg():
    """The tables of a JPEG are read behind a damaged note too."""
    assert estimate_quality(with_segment(segment(0xEE, b"Adobe"))) == estimate_quality(PLAIN["JPEG"]) == 75


def deep_jpeg():
    """Return a JPEG whose header says 12 bits a sample."""
    start = PLAIN["JPEG"].index(b"\xff\xc0")
    return PLAIN["JPEG"][: start + 4] + b"\x0c" + PLAIN["JPEG"][start + 5 :]


def png_header(bits, damage=0):
    return PLAIN["PNG"][:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", 20, 12, bits, 2, 0, 0, 0), damage)


def bmp(bits, masks, pixel):
    """Return a BMP of one pixel, with masks for red, green, blue and alpha."""
    data = pixel.ljust(4, b"\0")
    header = struct.pack("<IiiHHIIiiII", 124, 1, 1, 1, bits, 3, len(data), 0, 0, 0, 0) + struct.pack("<4I", *masks)
    return struct.pack("<2sIHHI", b"BM", 142, 0, 0, 138) + header.ljust(124, b"\0") + data


REASONS = {
    "checksum": (png_header(8, damage=1) + PLAIN["PNG"][33:], "a PNG that cannot be read: .*checksum in b'IHDR'"),
    "depth": (png_header(4) + PLAIN["PNG"][33:], "a PNG that cannot be read: its size, depth or colours are invalid"),
    "12 bits": (deep_jpeg(), "a JPEG that cannot be read: cannot handle 12-bit layers"),
    "masks": (bmp(32, (0xFF, 0xFF00, 0xFF0000, 0), b"abcd"), "a BMP that cannot be read: Unsupported BMP bitfields"),
}


@pytest.mark.parametrize(("content", "reason"), REASONS.values(), ids=REASONS)
def test_a_file_of_a_known_format_is_refused_for_its_own_reason(content, reason):
    """A file with the signature of a format is not called another format."""
    with pytest.raises(UnusableImage, match=reason):
        decode(content, 3)


@pytest.mark.parametrize("masks", [(0xF800, 0x7E0, 0x1F, 0), (0x7C00, 0x3E0, 0x1F, 0x8000)], ids=["565", "1555"])
def test_a_bmp_of_16_bits_a_pixel_is_no_deep_image(masks):
    """Its 16 bits are for three channels, each of 5 or 6 bits."""
    assert decode(bmp(16, masks, struct.pack("<H", masks[0])), 3).tolist() == [[[255, 0, 0]]]


BGRA = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)


def test_a_bmp_whose_alpha_is_zero_everywhere_is_opaque():
    """Many programs leave the fourth byte of a pixel unset."""
    assert decode(bmp(32, BGRA, bytes([30, 20, 10, 0])), 3).tolist() == [[[10, 20, 30]]]


def test_a_bmp_with_alpha_is_blended_with_white():
    """An alpha plane with a value in it is believed."""
    assert decode(bmp(32, BGRA, bytes([0, 0, 0, 51])), 3).tolist() == [[[204, 204, 204]]]


@pytest.mark.parametrize(
    ("extra", "colour"),
    [(None, [10, 20, 30]), (0, [10, 20, 30]), (2, [255, 255, 255])],
    ids=["none", "padding", "alpha"],
)
def test_the_fourth_channel_of_a_tiff_is_alpha_only_if_the_tiff_says_so(extra, colour):
    """A fourth channel that is zero everywhere and not declared as alpha is padding."""
    shorts = {0x0100: 1, 0x0101: 1, 0x0103: 1, 0x0106: 2, 0x0115: 4, 0x0116: 1}
    shorts |= {} if extra is None else {0x0152: extra}
    tags = [short(number, value, "<") for number, value in shorts.items()]
    tags += [(0x0102, 3, 4, struct.pack("<4H", 8, 8, 8, 8)), (0x0117, 4, 1, struct.pack("<I", 4))]
    position = len(directory([*tags, (0x0111, 4, 1, bytes(4))], "<"))
    head = directory(sorted([*tags, (0x0111, 4, 1, struct.pack("<I", position))]), "<")
    assert decode(head + bytes([10, 20, 30, 0]), 3).tolist() == [[colour]]


TEN_BITS = (  # an AVIF of 10 bits per channel, which Pillow cannot write
    r"0000WW^{RQVRmU|00000VRmU|ZE0pPZE0a<O+hh10002%ZDn*}000000000XXk=`10000000000aA{+7000000000000000000004sdC7Z2$"
    r"lO000310016oY;R)#0000)000310RR910RR926951K8vp<RC~0YKW&i*H00031000_kZf0cy000000RRADb}%tRZ)|UJ00000YH4tCZ~y=RO"
    r"KEUpZvX%Q6lrsCWdHyG00000KmY&$FaQ7m5O8UDX#fBK00RmN3IG5A3}JRLLxCVb000006Ju{|a&BX6cmM(b0ssbp0000NX>e^}000000000"
    r"1009I60)qqq00ARyWMOm?0162>6@R_F2nZTLGK&He!eb_a03d$=j)%a|FtGMSUD_PaKHLxd;t;^tGHsCr8e6pe(4SS+grqF@r{DcdrV_&eBy"
    r"}#2<B$s8vEhr(w_b(NPw6Yo3m=YU3TeSpw9_FcS95N(Yr)L8iwpo??(sCFaWEXPOXP~yv;7g@6|pO@txoe4(|u=v!E7g<G@jfHD$_Wu#*`y@"
    r"asS22ofNdQl1@s0w{8l8tU~&%yz(9e#Tepps5F7hq@|kVj)HQrs=kJn*g#;DJ(F{Jm!)F>1*Er3rg^UUlM4z6QugCH^1N%<x@r=B%=_4_Py`"
    r"cTfk0X;{7kW*iOY=w27sxVz)FeAetfMbv%{T=4@;vISV{<CWW)"
)


def test_an_avif_of_10_bits_is_rounded_to_8():
    """The decoder of AVIF gives 8 bits, so a deeper one is no error."""
    content = base64.b85decode(TEN_BITS)
    assert b"pixi\0\0\0\0\x03\x0a\x0a\x0a" in content
    assert decode(content, 3).shape == (48, 64, 3)


def test_a_jpeg_without_its_end_is_truncated():
    """Without its end marker a JPEG may lack pixels too."""
    with pytest.raises(UnusableImage, match="truncated"):
        decode(PLAIN["JPEG"][:-2], 3)
