"""Sorting an inbox: usable images move to the data set, the others to quarantine."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fct.core.errors import FctError
from fct.images.tables import UNKNOWN_QUALITY
from pipelines.inbox import Arrival, sort_inbox


def picture(seed, suffix="png", **options):
    """Return an encoded image, another one for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 255, (20, 24, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG" if suffix == "jpg" else "PNG", **options)
    return stream.getvalue()


@pytest.fixture
def inbox(tmp_path, monkeypatch):
    """Work beside an empty inbox and a data set of two classes with an image each."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("cat", "dog")):
        put(f"images/{name}/known.png", picture(number))
        Path("inbox", name).mkdir(parents=True)
    return Path("inbox")


def put(path, content):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content)


def run(settle=0):
    return sort_inbox(Path("inbox"), Path("images"), Path("quarantine"), channels=3, settle=settle)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if not path.is_dir())


@pytest.mark.usefixtures("inbox")
def test_good_images_move_to_their_class_with_their_quality():
    """A JPEG has the quality of its tables; a lossless file has none."""
    put("inbox/cat/new.jpg", picture(5, "jpg", quality=35))
    put("inbox/dog/new.png", picture(6))
    result = run()
    assert result.taken == (Arrival("cat/new.jpg", 35), Arrival("dog/new.png", UNKNOWN_QUALITY))
    assert not result.refused
    assert files("inbox") == []
    assert files("images") == ["cat/known.png", "cat/new.jpg", "dog/known.png", "dog/new.png"]


BAD = {
    "cat/text.png": (b"no image", "not a JPEG"),
    "cat/half.png": (picture(5)[:400], "damaged or truncated"),
    "cow/new.png": (picture(5), "an unknown class: make the folder images/cow to begin one"),
    "loose.png": (picture(5), "not in a class"),
    "cat/deep/er.png": (picture(5), "not in a class"),
    "dog/again.png": (picture(0), "the same pixels as another image: images/cat/known.png"),
}


@pytest.mark.parametrize(("name", "content", "reason"), [(name, *case) for name, case in BAD.items()])
@pytest.mark.usefixtures("inbox")
def test_a_bad_file_is_kept_in_quarantine_with_its_reason(name, content, reason):
    """A file that cannot be used moves to quarantine, and a text file beside it has the reason."""
    put(f"inbox/{name}", content)
    result = run()
    assert result.taken == ()
    assert [problem.name for problem in result.refused] == [name]
    assert Path("quarantine", name).read_bytes() == content
    assert reason in Path("quarantine", f"{name}.reason.txt").read_text()
    assert files("inbox") == []
    assert files("images") == ["cat/known.png", "dog/known.png"]


@pytest.mark.usefixtures("inbox")
def test_a_link_is_not_followed():
    """A link in the inbox is refused, so that it gives no access to files elsewhere."""
    Path("secret.png").write_bytes(picture(7))
    Path("inbox/cat/link.png").symlink_to(Path("secret.png").absolute())
    [problem] = run().refused
    assert "a link out of the folder" in str(problem)
    assert files("images") == ["cat/known.png", "dog/known.png"]


@pytest.mark.usefixtures("inbox")
def test_a_pipe_is_not_waited_for():
    """A pipe would block for ever, so it is refused without reading it."""
    os.mkfifo("inbox/cat/pipe.png")
    [problem] = run().refused
    assert "not a file" in str(problem)
    assert files("inbox") == []


@pytest.mark.parametrize(
    ("inbox", "quarantine"), [("images", "quarantine"), ("images/cat", "quarantine"), ("inbox", "inbox/bad")]
)
def test_folders_that_overlap_are_refused(inbox, quarantine):
    """An inbox in the data set would empty it into quarantine."""
    with pytest.raises(FctError, match="lies in"):
        sort_inbox(Path(inbox), Path("images"), Path(quarantine), channels=3, settle=0)


@pytest.mark.usefixtures("inbox")
def test_the_same_image_twice_is_taken_once():
    """Two files of one upload with the same pixels would stop the pipeline; the second is refused."""
    put("inbox/cat/one.png", picture(5))
    put("inbox/cat/two.png", picture(5))
    result = run()
    assert [image.name for image in result.taken] == ["cat/one.png"]
    assert "images/cat/one.png" in str(result.refused[0])


@pytest.mark.usefixtures("inbox")
def test_a_name_that_is_taken_replaces_nothing():
    """Another image of the same name goes beside the first one."""
    put("inbox/cat/known.png", picture(5))
    [taken] = run().taken
    assert taken.name.startswith("cat/known-")
    assert Path("images/cat/known.png").read_bytes() == picture(0)
    assert Path("images", taken.name).read_bytes() == picture(5)


@pytest.mark.parametrize("name", [".hidden.png", "new.png.part", "new.png.crdownload", "new.png~"])
@pytest.mark.usefixtures("inbox")
def test_what_is_still_uploading_waits(name):
    """A file with a name that programs give to unfinished files stays in the inbox."""
    put(f"inbox/cat/{name}", picture(5))
    result = run()
    assert (result.taken, result.refused, result.waiting) == ((), (), 1)


@pytest.mark.usefixtures("inbox")
def test_a_file_that_just_changed_waits():
    """A file that changed a moment ago stays in the inbox; an older one moves."""
    put("inbox/cat/new.png", picture(5))
    put("inbox/cat/old.png", picture(6))
    os.utime("inbox/cat/old.png", (1, 1))
    result = run(settle=60)
    assert [image.name for image in result.taken] == ["cat/old.png"]
    assert result.waiting == 1


@pytest.mark.usefixtures("inbox")
def test_between_file_systems_files_are_copied_whole(monkeypatch):
    """Without hard links a file is copied under its final name."""
    monkeypatch.setattr(os, "link", lambda *_, **__: (_ for _ in ()).throw(OSError("cross-device link")))
    put("inbox/cat/new.png", picture(5))
    run()
    assert files("images") == ["cat/known.png", "cat/new.png", "dog/known.png"]
    assert files("inbox") == []


@pytest.mark.usefixtures("inbox")
def test_killed_between_the_names_nothing_is_lost():
    """A file that has both names already is not taken twice: the second goes to quarantine."""
    put("inbox/cat/new.png", picture(5))
    os.link("inbox/cat/new.png", "images/cat/new.png")
    run()
    assert files("images") == ["cat/known.png", "cat/new.png", "dog/known.png"]
    assert files("quarantine") == ["cat/new.png", "cat/new.png.reason.txt"]


@pytest.mark.parametrize(("missing", "key"), [("inbox", "intake.inbox"), ("images", "data.folder.path")])
@pytest.mark.usefixtures("inbox")
def test_a_missing_folder_is_named(missing, key):
    """The error names the key and says what to make."""
    Path(missing).rename("elsewhere")
    with pytest.raises(FctError, match=rf"params\.yaml: {key}: .*Make it"):
        run()
