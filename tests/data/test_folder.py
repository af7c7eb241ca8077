"""A user's folder of images: which files are used, which are errors, and which are skipped and counted."""

import errno
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fct.core.errors import FctError
from fct.data import folder
from fct.images.decode import decode, resize
from fct.images.tables import UNKNOWN_QUALITY
from fct.splits import store
from fct.splits.views import at_size


def test_each_image_is_in_one_split_with_its_class(good):
    """Twenty images are divided by class, and each split's rows match their originals and labels."""
    meta, splits = good.build()
    assert meta["counts"] == {"train": 12, "val": 2, "gate": 2, "test": 4}
    assert meta["classes"] == ["cat", "dog"]
    assert meta["test"] == "held out of train"
    whole = {path.read_bytes(): path for path in good.root.rglob("*.*")}
    seen = []
    for split in splits.values():
        assert len(split.originals) == len(split)
        for row in range(len(split)):
            content = split.originals[row]
            seen.append(whole[content])
            assert whole[content].parent.name == meta["classes"][split.labels[row]]
            assert np.array_equal(split.images[row], resize(decode(content, 3), 16))
    assert sorted(seen) == sorted(whole.values())


def test_images_of_train_may_be_kept_larger(good):
    """With `keep` 1.5 train has images of 24 pixels in place of 16. All other splits, and the division, stay."""
    plain, splits = good.build()
    before = {name: (np.array(split.images), np.array(split.labels)) for name, split in splits.items()}
    meta, splits = good.build(keep=1.5)
    train = splits.pop("train")
    for row in range(len(train)):
        assert np.array_equal(train.images[row], resize(decode(train.originals[row], 3), 24))
    for name, split in splits.items():
        assert all(map(np.array_equal, before[name], (split.images, split.labels)))
    assert np.array_equal(train.labels, before["train"][1])
    assert meta["size"] == plain["size"] == 16
    assert meta["digest"] != plain["digest"]
    assert np.array_equal(at_size(train, 16).images, before["train"][0])
    assert sorted(path.name for path in (good.here / "splits").iterdir()) == [
        "gate",
        "meta.json",
        "test",
        "train",
        "val",
    ]


def test_each_images_own_quality_is_recorded(own):
    """JPEGs have the quality they were saved with. All other files have `UNKNOWN_QUALITY`."""
    for label in ("cat", "dog"):
        for i in range(5):
            own.add(f"{label}/{i}.jpg", quality=20 + i)
            own.add(f"{label}/{i}.png")
    _, splits = own.build()
    qualities = sorted(int(quality) for split in splits.values() for quality in split.quality)
    assert qualities == sorted([*range(20, 25)] * 2 + [UNKNOWN_QUALITY] * 10)


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour_may_be_mixed(good, channels):
    """Grey files in a colour data set, and colour files in a grey one, get the configured channels."""
    good.add("cat/grey.png", mode="L")
    meta, splits = good.build(channels=channels)
    assert meta["channels"] == channels
    assert splits["train"].images.shape[1:] == (16, 16, channels)


def test_the_same_folder_gives_the_same_bytes(good, tmp_path):
    """Two runs, the second on a copy elsewhere, write the same files to the bit, with no path of this machine."""
    good.build()

    def written():
        return {
            p.relative_to(tmp_path): p.read_bytes()
            for n in ("splits", "originals")
            for p in (tmp_path / n).rglob("*.*")
        }

    first = written()
    shutil.move(good.root, tmp_path / "moved")
    good.root = tmp_path / "moved"
    good.build()
    assert written() == first
    assert not any(str(tmp_path).encode() in content for content in first.values())


def test_many_processes_give_the_same_result_as_one(good, monkeypatch):
    """Several chunks on several processes give the same result as one chunk."""
    single, _ = good.build()
    monkeypatch.setattr(folder, "CHUNK", 3)
    assert good.build()[0] == single


def test_hidden_files_and_a_readme_are_ignored(good):
    """A README and `.dvc` files next to the classes are ignored, and hidden files everywhere."""
    (good.root / "cat.dvc").write_text("outs: []")
    (good.root / "README.md").write_text("about")
    (good.root / ".gitignore").write_text("*")
    (good.root / ".hidden").mkdir()
    (good.root / "cat/.DS_Store").write_bytes(b"mac")
    assert good.build()[0]["skipped"]["count"] == 0


# Each function damages a good folder. BAD lists: (function, name in the error, its text, number of skipped files).
def truncated(own):
    path = own.add("cat/bad.jpg")
    path.write_bytes(path.read_bytes()[:-300])


def text(own):
    (own.root / "dog/notes.txt").write_text("not an image")


def text_named_as_an_image(own):
    (own.root / "dog/bad.png").write_text("not an image")


def empty_file(own):
    (own.root / "dog/bad.png").touch()


def empty_class(own):
    (own.root / "bird").mkdir()


def in_the_root(own):
    own.add("stray.png")


def nested(own):
    own.add("cat/kittens/one.png")


def link_out(own):
    outside = own.here / "secret.png"
    own.add("../secret.png")
    (own.root / "cat/link.png").symlink_to(outside)


def class_link_out(own):
    own.add("../elsewhere/one.png")
    (own.root / "cow").symlink_to(own.here / "elsewhere")


def link_in_a_circle(own):
    (own.root / "cat/loop.png").symlink_to("loop.png")


def device(own):
    os.mkfifo(own.root / "cat/pipe.png")


def duplicate(own):
    shutil.copy(own.root / "cat/0.jpg", own.root / "cat/copy.jpg")


def duplicate_in_another_class_and_kind(own):
    Image.open(own.root / "cat/1.png").save(own.root / "dog/same.bmp")


def small_class(own):
    for i in range(3):
        own.add(f"ant/{i}.png")


def animated(own):
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    frames[0].save(own.root / "cat/moving.webp", save_all=True, append_images=frames[1:])


def cmyk(own):
    own.add("cat/print.jpg", mode="CMYK")


def sixteen_bit(own):
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(own.root / "cat/deep.png")


def name_of_other_bytes(own):
    own.add("cat/latin.png").rename(own.root / os.fsdecode(b"cat/caf\xe9.png"))


def class_of_other_bytes(own):
    own.add("latin/one.png")
    (own.root / "latin").rename(own.root / os.fsdecode(b"caf\xe9"))


def oversized(own):
    Image.new("1", (10_000, 9_000)).save(own.root / "cat/bomb.png")


BAD = [
    (truncated, "cat/bad.jpg", "damaged or truncated", 1),
    (text, "dog/notes.txt", "not a JPEG, PNG, WEBP, AVIF, BMP or TIFF image", 1),
    (text_named_as_an_image, "dog/bad.png", "not a JPEG, PNG, WEBP, AVIF, BMP or TIFF image", 1),
    (empty_file, "dog/bad.png", "not a JPEG, PNG, WEBP, AVIF, BMP or TIFF image", 1),
    (empty_class, "bird/", "a class without images", 1),
    (in_the_root, "stray.png", "not in a class", 1),
    (nested, "cat/kittens", "a folder inside a class", 1),
    (link_out, "cat/link.png", "a link out of the folder", 1),
    (class_link_out, "cow/", "a link out of the folder", 1),
    (link_in_a_circle, "cat/loop.png", "not a file", 1),
    (device, "cat/pipe.png", "not a file", 1),
    (duplicate, "cat/copy.jpg", "same pixels as another image", 1),
    (duplicate_in_another_class_and_kind, "dog/same.bmp", "same pixels in two classes, 'cat' and 'dog'", 1),
    (small_class, "ant/2.png", "its class has too few images", 3),
    (animated, "cat/moving.webp", "several frames or pages", 1),
    (cmyk, "cat/print.jpg", "neither grey nor RGB", 1),
    (sixteen_bit, "cat/deep.png", "more than 8 bits per channel", 1),
    (oversized, "cat/bomb.png", "too large", 1),
    (name_of_other_bytes, "cat/caf\\udce9.png", "a name that is not UTF-8", 1),
    (class_of_other_bytes, "caf\\udce9/", "a name that is not UTF-8", 1),
]
cases = pytest.mark.parametrize(("damage", "name", "what", "count"), BAD, ids=[case[0].__name__ for case in BAD])


@cases
def test_a_file_that_cannot_be_used_is_an_error(good, damage, name, what, count):
    """By default one bad file or class is an error that names it, and nothing is written."""
    damage(good)
    with pytest.raises(FctError) as caught:
        good.build()
    assert str(caught.value).count(what) == count
    assert f"- {name}: {what}" in str(caught.value)
    assert "on_error: skip" in str(caught.value)
    assert not (good.here / "splits").exists()
    assert not list(good.here.glob(".*"))


@cases
def test_a_file_that_cannot_be_used_is_skipped_and_counted(good, damage, name, what, count):
    """With on_error: skip a bad file is skipped and counted by reason. The result is the same as without the file."""
    without, _ = good.build()
    damage(good)
    meta, _ = good.build(on_error="skip")
    assert meta["skipped"]["reasons"] == {what: count}
    assert meta["skipped"]["items"][name] == what
    assert {**meta, "skipped": None} == {**without, "skipped": None}


@pytest.mark.parametrize("folder", ["lost", "cat"])
def test_a_folder_that_cannot_be_read_is_skipped(good, monkeypatch, folder):
    """With on_error: skip a folder without permission, in the place of a class or a class itself, is counted."""
    for name in ("ant", "lost"):
        for number in range(5):
            good.add(f"{name}/{number}.png")
    real = os.listdir

    def listdir(path):
        if Path(path).name == folder:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    meta, _ = good.build(on_error="skip")
    assert folder not in meta["classes"]
    assert meta["skipped"]["items"][f"{folder}/"] == "cannot be read"


def test_what_systems_leave_beside_files_is_ignored(good):
    """Thumbnails, wastebaskets and indexes of Windows, macOS and network drives are neither classes nor images."""
    for name in ("__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information", "cat/@eaDir"):
        (good.root / name).mkdir()
        (good.root / name / "file").write_text("no image")
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "dog/Thumbs.db", "cat/._0.jpg"):
        (good.root / name).write_text("no image")
    meta, _ = good.build()
    assert meta["classes"] == ["cat", "dog"]
    assert meta["skipped"]["count"] == 0


def test_a_class_has_one_name_on_all_systems(good):
    """A folder that macOS named, with decomposed accents, is the class of the composed name, in the same place."""
    for number in range(5):
        good.add(f"e\u0301lan/{number}.png", seed=number)
    decomposed, _ = good.build()
    (good.root / "e\u0301lan").rename(good.root / "\xe9lan")
    assert good.build()[0] == decomposed
    assert decomposed["classes"] == ["cat", "dog", "\xe9lan"]


def test_two_forms_of_one_class_name_are_an_error(good):
    """Two folders whose names look the same are no two classes."""
    for name in ("\xe9lan", "e\u0301lan"):
        (good.root / name).mkdir()
    with pytest.raises(FctError, match="are one name in two Unicode forms"):
        good.build()


def test_both_files_with_the_same_pixels_are_named(good):
    """The error names both files with the same pixels."""
    duplicate_in_another_class_and_kind(good)
    with pytest.raises(FctError, match=r"dog/same\.bmp: same pixels in two classes, 'cat' and 'dog': cat/1\.png"):
        good.build()


def test_the_size_of_a_small_class_is_named(good):
    """The error for a class with fewer images than splits has its name and size."""
    small_class(good)
    with pytest.raises(FctError, match="ant has 3, but each of the 4 splits needs one"):
        good.build()


def test_more_skipped_files_than_images_do_not_end_the_reading(good):
    """With on_error: skip every file of a class is looked at, however many files lie beside the classes."""
    for number in range(25):
        (good.root / f"{number}.txt").touch()
    meta, _ = good.build(on_error="skip")
    assert (sum(meta["counts"].values()), meta["skipped"]["count"]) == (20, 25)


def test_a_class_whose_images_are_all_bad_is_no_class(good):
    """With on_error: skip a class without usable images is counted and has no label."""
    (good.root / "ant").mkdir()
    (good.root / "ant/one.png").write_text("no")
    meta, splits = good.build(on_error="skip")
    assert meta["classes"] == ["cat", "dog"]
    assert meta["skipped"]["items"].keys() == {"ant/", "ant/one.png"}
    assert set(splits["train"].labels.tolist()) == {0, 1}


@pytest.mark.parametrize("on_error", ["fail", "skip"])
@pytest.mark.parametrize(("one", "other"), [("Cat", "cat"), ("Caf\u00e9", "cafe\u0301")])
def test_classes_that_differ_only_in_case_are_an_error(good, on_error, one, other):
    """Two classes whose names are equal on some file systems are an error that names both."""
    for name in (one, other):
        (good.root / name).mkdir(exist_ok=True)
    with pytest.raises(FctError, match=f"{one} and .*{other} differ only in case"):
        good.build(on_error=on_error)


def test_a_missing_folder_is_an_error(own):
    """The error for a missing folder has its path and its key."""
    with pytest.raises(FctError, match=r"data\.folder\.path: '.*images' is not a folder"):
        own.build()


@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_one_class_is_not_enough(own, on_error):
    """A folder with a single class is an error."""
    for i in range(5):
        own.add(f"cat/{i}.png")
    with pytest.raises(FctError, match="two"):
        own.build(on_error=on_error)


def test_too_few_classes_after_skipping_is_an_error_with_an_example(own):
    """If fewer than two classes remain after skipping, the error has an example of a skipped file."""
    for label in ("cat", "dog"):
        (own.root / label).mkdir(parents=True)
        (own.root / label / "one.png").write_text("no")
    with pytest.raises(FctError, match=r"fewer than two classes .*cat/one\.png: not a JPEG"):
        own.build(on_error="skip")


def test_all_kinds_of_bad_files_are_named_at_once(good):
    """A folder inside a class, a damaged file, a duplicate and a class that is too small need one run, not three."""
    for damage in (nested, truncated, duplicate, small_class):
        damage(good)
    with pytest.raises(FctError) as caught:
        good.build()
    assert re.findall(r"- (\S+):", str(caught.value)) == [
        "cat/kittens",
        "cat/bad.jpg",
        "cat/copy.jpg",
        *(f"ant/{i}.png" for i in range(3)),
    ]


def test_the_error_shows_ten_problems_of_all_kinds(good):
    """Of many bad files of one kind some are left out and counted; the only one of another kind is named."""
    for i in range(60):
        (good.root / f"cat/bad{i:02}.png").write_text("no")
    duplicate(good)
    with pytest.raises(FctError) as caught:
        good.build()
    text = str(caught.value)
    assert (text.count("not a JPEG"), text.count("same pixels"), "and 51 more" in text) == (9, 1, True)


def test_the_check_of_a_folder_full_of_bad_files_stops(good, monkeypatch):
    """It says so, since there may be other problems."""
    monkeypatch.setattr(folder, "CHUNK", 4)
    monkeypatch.setattr(folder, "MOST_UNREADABLE", 12)
    for i in range(60):
        (good.root / f"cat/bad{i:02}.png").write_text("no")
    with pytest.raises(FctError, match="There may be others: the check stopped after 12") as caught:
        good.build()
    assert int(re.findall(r"and (\d+) more", str(caught.value))[0]) < 50


@pytest.mark.parametrize("place", [".dvc/cache", "../shared/cache"], ids=["default", "shared"])
def test_files_in_dvcs_cache_may_be_linked_to(good, tmp_path, monkeypatch, place):
    """A folder that DVC checked out as links into its cache, wherever that is, is read like any other folder."""
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    subprocess.run(["dvc", "init", "--quiet", "--no-scm"], check=True)
    subprocess.run(["dvc", "config", "cache.dir", str(project / place)], check=True)
    before, _ = good.build()
    cached = project / place / "files/md5/ab"
    cached.mkdir(parents=True)
    shutil.move(good.root / "cat/0.jpg", cached / "cdef")
    (good.root / "cat/0.jpg").symlink_to(cached / "cdef")
    assert good.build()[0] == before


def test_a_file_that_changes_during_the_stage_is_an_error(good, monkeypatch):
    """A file that changes between its check and its packing is an error."""
    real = folder._write_arrays

    def write(part, pixels, destination):
        real(part, pixels, destination)
        good.add("cat/0.jpg", seed=123)

    monkeypatch.setattr(folder, "_write_arrays", write)
    with pytest.raises(FctError, match=r"cat/0\.jpg changed while"):
        good.build()


def test_an_added_image_leaves_the_others_in_their_splits(good):
    """One more image moves at most one image across each border of its class."""
    _, before = good.build()
    good.add("cat/new.png")
    _, after = good.build()
    moved = [
        name
        for name in before
        for row in range(len(before[name]))
        if before[name].originals[row] not in [after[name].originals[i] for i in range(len(after[name]))]
    ]
    assert len(moved) <= 3


def test_pixels_are_memory_mapped(good):
    """Images and originals are memory maps of their files, not copies."""
    good.build()
    split = store.open_split("train", good.here / "splits", good.here / "originals")
    assert split.images.filename.name == "images.npy"
    assert split.originals.files.filename.name == "train.bin"
    assert store.read_meta(good.here / "splits")["counts"]["train"] == len(split)
