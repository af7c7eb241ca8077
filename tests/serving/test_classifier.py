"""An exported ONNX file classifies image files, usable or not, one by one."""

import io
import struct
import subprocess
import sys
import textwrap
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fct.images.decode import UnusableImage
from fct.serving.classifier import LARGEST_FILE, Classifier, open_session
from fct.serving.metadata import UnusableMetadata

ANSWERED = """
    import random, sys
    from pathlib import Path
    from fct.serving.classifier import Classifier, open_session

    whole = [path.read_bytes() for path in sorted(Path("whole").iterdir())]
    draw = random.Random(0)
    files = []
    for content in whole * 100:
        damaged = bytearray(content)
        for _ in range(draw.randint(1, 12)):
            place = draw.randrange(len(damaged))
            match draw.randrange(4):
                case 0:
                    damaged[place] = draw.randrange(256)
                case 1:
                    damaged[place] = draw.choice([0, 255])
                case 2:
                    del damaged[place : place + draw.randint(1, 40)]
                case 3:
                    damaged[place:place] = damaged[: draw.randint(1, 40)]
            damaged = damaged or bytearray(b"x")
        files.append(bytes(damaged))
    classifier = Classifier.of(open_session(Path(sys.argv[1])))
    found = list(classifier.classify(files, threads=2))
    assert all((each.error is None) != (each.label is None) for each in found)
    print(len(found), sum(each.error is None for each in found))
"""


@pytest.fixture
def classifier(colour_model):
    return Classifier.of(open_session(colour_model()))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "BMP", "TIFF"])
def test_every_kind_of_file_is_classified(classifier, picture, kind):
    """JPEG, PNG, WebP, AVIF, BMP and TIFF, of another size than the model's, give the class of their pixels."""
    found = classifier.classify([picture(colour, kind) for colour in ("blue", "red", "green")])
    assert [each.label for each in found] == ["blue", "red", "green"]


def test_probabilities_are_the_softmax_of_the_logits(classifier, picture):
    """Each class has its share, by name, and they sum to one."""
    (prediction,) = classifier.classify([picture((200, 100, 0))])
    powers = np.exp([2, 1, 0])
    assert prediction.probabilities == pytest.approx(
        dict(zip(["red", "green", "blue"], powers / powers.sum(), strict=True))
    )


def test_a_model_with_blocks_is_told_the_quality(colour_model, picture):
    """The quality that the tables tell reaches the model: from its logit it can be read off."""
    classifier = Classifier.of(open_session(colour_model(takes_quality=True)))
    grey = (128, 128, 128)
    found = list(classifier.classify([picture(grey, "JPEG", quality=3), picture(grey)]))
    assert [each.quality for each in found] == [3, None]
    assert found[0].probabilities["red"] == pytest.approx(1 / (1 + 2 * np.exp(-3)), rel=1e-4)


@pytest.mark.parametrize(("quality", "flag"), [(29, True), (30, False), (95, False)])
def test_a_quality_below_the_trained_ones_is_flagged(classifier, picture, quality, flag):
    """Trained at 30 and 90: what lies below 30 was never seen."""
    (prediction,) = classifier.classify([picture(kind="JPEG", quality=quality)])
    assert (prediction.quality, prediction.below_trained) == (quality, flag)


def test_a_file_without_metadata_numbers_its_classes(colour_model, picture):
    """Classes that have no names are numbers, and no quality is below what nobody knows."""
    classifier = Classifier.of(open_session(colour_model(metadata={})))
    (prediction,) = classifier.classify([picture("green", "JPEG", quality=1)])
    assert (prediction.label, prediction.below_trained) == ("1", False)


def test_a_model_of_oblong_images_is_refused(colour_model):
    """Which part of a photograph an oblong model wants is not for us to guess."""
    with pytest.raises(UnusableImage, match="3 x 8 x 9"):
        Classifier.of(open_session(colour_model(width=9)))


def test_metadata_that_is_not_utf8_is_refused(colour_model):
    """The error has the bytes."""
    path = colour_model()
    path.write_bytes(path.read_bytes().replace(b"green", b"gr\xfcen"))
    with pytest.raises(UnusableMetadata, match=r'"gr\\xfcen".* in its metadata is not UTF-8'):
        Classifier.of(open_session(path))


def test_what_is_wrong_with_one_touches_no_other(classifier, picture):
    """Every third of a hundred files is broken; all others are answered, in their order, by two threads."""
    colours = ["red", "green", "blue", "green"] * 25
    files = [b"broken" if index % 3 == 0 else picture(colour) for index, colour in enumerate(colours)]
    found = list(classifier.classify(files, threads=2))
    assert [each.label for each in found] == [None if i % 3 == 0 else colour for i, colour in enumerate(colours)]
    assert {each.error for each in found if each.label is None} == {"not a JPEG, PNG, WEBP, AVIF, BMP or TIFF image"}


def test_logits_that_are_not_numbers_are_an_error(classifier, picture):
    """A model that overflows gives a reason, and no class."""

    class Broken:
        def run(self, _names, feed):
            return [np.full((len(feed["image"]), 3), np.nan)]

    (prediction,) = replace(classifier, session=Broken()).classify([picture()])
    assert prediction.error == "the model gives logits that are not finite numbers"


def test_paths_are_read_when_their_turn_comes(classifier, picture, tmp_path):
    """A path is as good as its bytes; one that is not there, is a folder, or is enormous has its reason."""
    (tmp_path / "red.png").write_bytes(picture())
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    names = ["red.png", "gone.png", ".", "huge.png"]
    found = list(classifier.classify([tmp_path / name for name in names]))
    assert found[0].label == "red"
    assert [each.error.split(":")[0] for each in found[1:]] == ["not here", "not a file", "too large a file"]


def marker(code, body):
    return struct.pack(">BBH", 0xFF, code, len(body) + 2) + body


def without_tables(content):
    """A JPEG less its quantisation tables."""
    kept, place = content[:2], 2
    while content[place + 1] != 0xDA:
        length = struct.unpack(">H", content[place + 2 : place + 4])[0] + 2
        if content[place + 1] != 0xDB:
            kept += content[place : place + length]
        place += length
    return kept + content[place:]


def with_wide_tables(content):
    """A JPEG whose tables have 16 bits an entry, as the standard allows with 12-bit samples."""
    place = content.index(b"\xff\xdb")
    length = struct.unpack(">H", content[place + 2 : place + 4])[0] + 2
    first = b"\x10" + b"".join(struct.pack(">H", entry) for entry in content[place + 5 : place + 69])
    return content[:place] + marker(0xDB, first) + content[place + length :]


def many_scans(content):
    """A JPEG that repeats its scan."""
    place = content.index(b"\xff\xda")
    return content[:place] + content[place:-2] * 300 + content[-2:]


def claims(width, height):
    """A PNG that says it is of that size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(4))), (b"IEND", b"")]
    )
    return b"\x89PNG\r\n\x1a\n" + body


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


JPEG = encoded(Image.new("RGB", (12, 10), (220, 20, 20)), "JPEG", quality=50)
FRAMES = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]


@pytest.mark.parametrize(
    ("content", "message"),
    {
        "zero bytes": (b"", "not a JPEG"),
        "truncated": (JPEG[:-30], "damaged"),
        "50,000 x 50,000": (claims(50_000, 50_000), "too large"),
        "CMYK": (encoded(Image.new("CMYK", (8, 8)), "JPEG"), "neither grey nor RGB"),
        "16 bits": (encoded(Image.fromarray(np.zeros((8, 8), np.uint16)), "PNG"), "more than 8 bits"),
        "animated": (encoded(FRAMES[0], "WEBP", save_all=True, append_images=FRAMES[1:]), "several frames"),
        "no tables": (without_tables(JPEG), "damaged"),
        "scans without end": (many_scans(JPEG), "too slow to decode"),
        "a script before": (b"<script>alert(1)</script>" + JPEG, "not a JPEG"),
        "a GIF's head": (b"GIF89a" + JPEG, "not a JPEG"),
        "larger than is looked at": (JPEG + bytes(LARGEST_FILE), "too large a file"),
    }.values(),
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_hostile_files_are_refused_with_their_reason(classifier, content, message):
    """What is broken, vast, or not what it says it is: a reason, at once."""
    (prediction,) = classifier.classify([content])
    assert prediction.label is None
    assert prediction.error.startswith(message)


@pytest.mark.parametrize(
    "content", [JPEG + b"PK\x03\x04 an archive", with_wide_tables(JPEG)], ids=["archive", "16 bits"]
)
def test_odd_but_whole_files_are_classified(classifier, content):
    """An archive behind the image, and tables of 16 bits, take nothing from what is seen."""
    (prediction,) = classifier.classify([content])
    assert (prediction.label, prediction.error) == ("red", None)


@pytest.mark.e2e
def test_six_hundred_damaged_files_neither_crash_nor_hang(colour_model, tmp_path):
    """Seeded damage of every kind of file: each has a class or a reason, in a process that lives to its end."""
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (24, 20, 3), np.uint8))
    (tmp_path / "whole").mkdir()
    for kind in ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "TIFF"):
        noise.save(tmp_path / "whole" / kind, kind)
    path = colour_model()
    code = textwrap.dedent(ANSWERED)
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    answered, right = map(int, done.stdout.split())
    assert answered == 600
    assert 0 < right < 600


def test_a_file_of_an_earlier_version_is_told_100_for_no_tables(colour_model, picture):
    """Files that do not say what they take for "no JPEG tables" were made when that was 100."""
    grey = (128, 128, 128)
    metadata_of_v1 = {"fct.classes": ("red", "green", "blue"), "fct.qualities": [30, 90]}
    old, new = (
        Classifier.of(open_session(colour_model(takes_quality=True, metadata=metadata)))
        for metadata in (metadata_of_v1, metadata_of_v1 | {"fct.no_tables": 0})
    )
    red = [next(each.classify([picture(grey)])).probabilities["red"] for each in (old, new)]
    assert red[0] == pytest.approx(1, abs=1e-6)
    assert red[1] == pytest.approx(1 / 3, abs=1e-6)
