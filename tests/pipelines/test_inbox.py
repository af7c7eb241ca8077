"""Sorting an inbox: usable images move to the data set, the others to quarantine."""

import errno
import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fct.core.errors import FctError
from fct.images.tables import UNKNOWN_QUALITY
from pipelines import inbox as inbox_module
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


def run(min_age=0):
    return sort_inbox(Path("inbox"), Path("images"), Path("quarantine"), channels=3, min_age=min_age)


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
    "dog/again.png": (picture(0), "same pixels in two classes, 'cat' and 'dog': images/cat/known.png"),
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
    with pytest.raises(FctError, match="is inside"):
        sort_inbox(Path(inbox), Path("images"), Path(quarantine), channels=3, min_age=0)


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
    result = run(min_age=60)
    assert [image.name for image in result.taken] == ["cat/old.png"]
    assert result.waiting == 1


@pytest.mark.usefixtures("inbox")
def test_between_file_systems_files_are_copied_whole(monkeypatch):
    """Without hard links files get to the data set and to quarantine all the same."""
    monkeypatch.setattr(os, "link", lambda *_, **__: (_ for _ in ()).throw(OSError("cross-device link")))
    put("inbox/cat/new.png", picture(5))
    put("inbox/cat/bad.png", b"no image")
    os.mkfifo("inbox/cat/pipe.png")
    run()
    assert files("images") == ["cat/known.png", "cat/new.png", "dog/known.png"]
    assert Path("quarantine/cat/bad.png").read_bytes() == b"no image"
    assert files("inbox") == []


@pytest.mark.usefixtures("inbox")
def test_killed_between_the_names_nothing_is_lost():
    """A file that has both names already is not taken twice: the second goes to quarantine."""
    put("inbox/cat/new.png", picture(5))
    os.link("inbox/cat/new.png", "images/cat/new.png")
    run()
    assert files("images") == ["cat/known.png", "cat/new.png", "dog/known.png"]
    assert files("quarantine") == ["cat/new.png", "cat/new.png.reason.txt"]


@pytest.mark.usefixtures("inbox")
def test_killed_before_the_name_the_image_is_taken_the_next_time():
    """The hidden copy of the killed run is removed. It is no image of the data set that the new one would repeat."""
    put("inbox/cat/new.png", picture(5))
    put("images/cat/.0123abcd.incoming", picture(5))
    result = run()
    assert [image.name for image in result.taken] == ["cat/new.png"]
    assert result.refused == ()
    assert files("images") == ["cat/known.png", "cat/new.png", "dog/known.png"]


@pytest.fixture
def interrupt(monkeypatch):
    """Return a function that lets a signal come before or after a file of the inbox is removed."""
    real = os.unlink

    def start(when):
        def unlink(path, *, dir_fd=None):
            if dir_fd is None:  # a file elsewhere
                return real(path)
            if when == "after":
                real(path, dir_fd=dir_fd)
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "unlink", unlink)

    return start


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (picture(5), ["images/cat/new.png"]),
        (b"no image", ["quarantine/cat/new.png", "quarantine/cat/new.png.reason.txt"]),
    ],
    ids=["good", "bad"],
)
@pytest.mark.usefixtures("inbox")
def test_interrupted_after_it_was_removed_a_file_stays_where_it_was_written(interrupt, content, kept):
    """A signal can come when the file has just left the inbox; then its new place is the only one."""
    put("inbox/cat/new.png", content)
    interrupt("after")
    with pytest.raises(KeyboardInterrupt):
        run()
    assert files(".") == sorted([".fct/known-images.json", "images/cat/known.png", "images/dog/known.png", *kept])
    assert Path(kept[0]).read_bytes() == content


@pytest.mark.parametrize("content", [picture(5), b"no image"], ids=["good", "bad"])
@pytest.mark.usefixtures("inbox")
def test_interrupted_before_it_is_removed_a_file_stays_in_the_inbox(interrupt, content):
    """The copy elsewhere is removed, so that the next run sorts the file as this one would have."""
    put("inbox/cat/new.png", content)
    interrupt("before")
    with pytest.raises(KeyboardInterrupt):
        run()
    assert files("inbox") == ["cat/new.png"]
    assert files("images") == ["cat/known.png", "dog/known.png"]
    assert files("quarantine") == []


@pytest.mark.parametrize(("missing", "key"), [("inbox", "intake.inbox"), ("images", "data.folder.path")])
@pytest.mark.usefixtures("inbox")
def test_a_missing_folder_is_named(missing, key):
    """The error names the key and says what to make."""
    Path(missing).rename("elsewhere")
    with pytest.raises(FctError, match=rf"params\.yaml.*: {key}: .*Make it"):
        run()


@pytest.mark.usefixtures("inbox")
def test_a_file_from_the_future_is_no_upload():
    """A camera's wrong clock keeps no file waiting: the file system knows when it changed."""
    put("inbox/cat/new.png", picture(5))
    os.utime("inbox/cat/new.png", (2**32, 2**32))
    assert run(min_age=60).waiting == 1  # it arrived a moment ago
    assert len(run().taken) == 1


@pytest.mark.usefixtures("inbox")
def test_what_systems_leave_beside_files_is_passed_over():
    """Thumbnails and indexes of Windows, macOS and network drives are neither moved nor waited for."""
    names = [".DS_Store", "cat/Thumbs.db", "cat/@eaDir/new.png", "__MACOSX/cat/._new.png", "cat/._new.png"]
    for name in names:
        put(f"inbox/{name}", b"no image")
    result = run()
    assert (result.taken, result.refused, result.stuck, result.waiting) == ((), (), (), 0)
    assert files("inbox") == sorted(names)


LONG = "x" * 245 + ".png"  # its name and ".reason.txt" are more than the 255 bytes of a name
OTHER_BYTES = os.fsdecode(b"caf\xe9.png")


@pytest.mark.parametrize("name", [LONG, OTHER_BYTES, "two\nlines.png"], ids=["long", "other bytes", "two lines"])
@pytest.mark.usefixtures("inbox")
def test_a_bad_file_of_any_name_is_reported(name):
    """A bad file's name does not keep its reason from being written, nor the next file from being taken."""
    put(f"inbox/cat/{name}", b"no image")
    put("inbox/dog/new.png", picture(5))
    result = run()
    [problem] = result.refused
    problem.name.encode()
    assert "\n" not in str(problem)
    assert [image.name for image in result.taken] == ["dog/new.png"]
    assert Path("quarantine/cat", name).read_bytes() == b"no image"
    [reason] = Path("quarantine/cat").glob("*.reason.txt")
    assert reason.read_text() == f"{problem}\n"


@pytest.mark.usefixtures("inbox")
def test_a_good_image_of_a_long_name_that_is_taken_gets_a_shorter_one():
    """The digest that tells two files of one name apart has its place in 255 bytes."""
    put(f"images/cat/{'y' * 251}.png", picture(5))
    put(f"inbox/cat/{'y' * 251}.png", picture(6))
    [taken] = run().taken
    assert Path("images", taken.name).read_bytes() == picture(6)


@pytest.mark.parametrize("name", ["new.dvc", "dvc.yaml", OTHER_BYTES])
@pytest.mark.usefixtures("inbox")
def test_a_name_that_another_program_would_read_is_refused(name):
    """DVC would take an image of such a name for one of its own files, or cannot store it."""
    put(f"inbox/cat/{name}", picture(5))
    [problem] = run().refused
    assert "rename it" in problem.detail
    assert files("images") == ["cat/known.png", "dog/known.png"]


@pytest.mark.parametrize("failing", ["unlink", "mkdir"])
@pytest.mark.usefixtures("inbox")
def test_a_file_that_cannot_be_moved_stays_and_is_reported(monkeypatch, failing):
    """It is told each time, nothing of it is left elsewhere, and the other files are sorted."""
    put("inbox/cat/bad.png", b"no image")
    put("inbox/cat/locked.png", picture(5))
    put("inbox/dog/new.png", picture(6))
    real = getattr(os, failing)

    def refuse(path, *arguments, **options):
        if str(path) in ("bad.png", "locked.png") or (failing == "mkdir" and str(path).startswith("quarantine")):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, failing, refuse)
    for _ in range(2):
        result = run()
        reported = [problem.name for problem in result.stuck]
        assert reported == (["cat/bad.png", "cat/locked.png"] if failing == "unlink" else ["cat/bad.png"])
    assert "cannot be moved out of the inbox: Permission denied" in str(result.stuck[0])
    assert files("quarantine") == []
    taken = ["dog/new.png"] if failing == "unlink" else ["cat/locked.png", "dog/new.png"]
    assert files("images") == sorted(["cat/known.png", "dog/known.png", *taken])


@pytest.mark.usefixtures("inbox")
def test_an_unreadable_file_goes_to_quarantine(monkeypatch):
    """A file without permission has its reason, and the next one is taken."""
    put("inbox/cat/locked.png", picture(5))
    put("inbox/dog/new.png", picture(6))
    real = os.open

    def refuse(path, *arguments, **options):
        if path == "locked.png":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    result = run()
    assert [str(problem) for problem in result.refused] == ["cat/locked.png: cannot be read: Permission denied"]
    assert len(result.taken) == 1


@pytest.mark.usefixtures("inbox")
def test_a_folder_that_cannot_be_listed_is_reported(monkeypatch):
    """A folder without permission does not hide itself, nor keep the other files from being taken."""
    put("inbox/dog/new.png", picture(6))
    real = os.scandir

    def refuse(path):
        if str(path).endswith("cat") and "inbox" in str(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    result = run()
    assert [str(problem) for problem in result.stuck] == ["cat/: cannot be listed: Permission denied"]
    assert len(result.taken) == 1


@pytest.mark.parametrize("target", [".git/hooks", "/dev/zero", "images/cat/known.png", "nowhere"])
@pytest.mark.parametrize("name", ["cat/link.png", "cat", "link"])
def test_no_link_of_the_inbox_leads_anywhere(inbox, target, name):
    """A link in the place of a file, of a class or beside them is refused, and what it leads to stays."""
    put(".git/hooks/pre-commit", b"before")
    shutil.rmtree(inbox / "cat") if name == "cat" else None
    (inbox / name).symlink_to(Path(target).absolute())
    [problem] = run().refused
    assert problem.name == name
    assert files(".git") == ["hooks/pre-commit"]
    assert files("images") == ["cat/known.png", "dog/known.png"]
    assert files("inbox") == []


@pytest.mark.usefixtures("inbox")
def test_a_class_that_becomes_a_link_while_files_are_sorted_is_not_followed(monkeypatch):
    """A folder of the inbox that was replaced after it was listed gives no access to files elsewhere."""
    put("inbox/cat/new.png", picture(5))
    put("secret/new.png", picture(6))
    real = inbox_module.find_known

    def replace(images, channels):
        shutil.rmtree("inbox/cat")
        Path("inbox/cat").symlink_to(Path("secret").absolute())
        return real(images, channels)

    monkeypatch.setattr(inbox_module, "find_known", replace)
    assert run().taken == ()
    assert files("secret") == ["new.png"]
    assert files("images") == ["cat/known.png", "dog/known.png"]


@pytest.mark.usefixtures("inbox")
def test_a_file_that_is_replaced_while_it_is_checked_stays(monkeypatch):
    """What was checked is taken, and nothing else; the new file waits for the next run."""
    put("inbox/cat/new.png", picture(5))
    real = inbox_module.decode

    def replace(content, channels):
        pixels = real(content, channels)
        put("inbox/cat/other.png", picture(6))
        Path("inbox/cat/other.png").replace("inbox/cat/new.png")
        return pixels

    monkeypatch.setattr(inbox_module, "decode", replace)
    [taken] = run().taken
    assert Path("images", taken.name).read_bytes() == picture(5)
    assert Path("inbox/cat/new.png").read_bytes() == picture(6)


@pytest.mark.usefixtures("inbox")
def test_a_file_that_is_replaced_while_it_moves_to_quarantine_stays(monkeypatch):
    """The new file may be a good one, and waits for the next run."""
    put("inbox/cat/bad.png", b"no image")
    real = inbox_module._link_or_copy

    def replace(folder, name, target):
        real(folder, name, target)
        put("inbox/cat/other.png", picture(6))
        Path("inbox/cat/other.png").replace("inbox/cat/bad.png")

    monkeypatch.setattr(inbox_module, "_link_or_copy", replace)
    run()
    assert Path("quarantine/cat/bad.png").read_bytes() == b"no image"
    assert Path("inbox/cat/bad.png").read_bytes() == picture(6)


@pytest.mark.usefixtures("inbox")
def test_a_class_is_found_by_either_form_of_its_name():
    """A folder that macOS named, with decomposed accents, is the class of the composed name."""
    put("images/\xe9lan/known.png", picture(2))
    put("inbox/e\u0301lan/new.png", picture(5))
    assert [image.name for image in run().taken] == ["\xe9lan/new.png"]


@pytest.mark.usefixtures("inbox")
def test_a_copy_in_another_class_is_a_contradiction():
    """One of the two labels is wrong, which a mere copy would not say."""
    put("inbox/dog/again.png", picture(0))
    put("inbox/cat/again.png", picture(0))
    same, other = run().refused
    assert str(same) == "cat/again.png: same pixels as another image: images/cat/known.png"
    assert str(other) == "dog/again.png: same pixels in two classes, 'cat' and 'dog': images/cat/known.png"
