"""CIFAR-10 and CIFAR-100 in their binary formats, from archives and from unpacked folders."""

import hashlib
import io
import tarfile
from dataclasses import replace

import numpy as np
import pytest

from fct.core.errors import FctError
from fct.data import cifar


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def random_images(seed, count):
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)


def records(images, *labels):
    """Records as in the published files: label bytes, then the red, green and blue planes."""
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    return np.concatenate([np.stack(labels, 1).astype(np.uint8), planes], 1).tobytes()


TEN = {f"data_batch_{i}.bin": records(random_images(i, 4), np.arange(4) + i) for i in range(1, 6)}
TEN_TEST = {"test_batch.bin": records(random_images(9, 3), np.array([9, 0, 5]))}
FINE = np.array([99, 0, 42])
HUNDRED = {
    "train.bin": records(random_images(1, 3), FINE // 5, FINE),
    "test.bin": records(random_images(2, 3), FINE // 5, FINE[::-1]),
    "fine_label_names.txt": "".join(f"thing_{i}\n" for i in range(100)).encode(),
    "coarse_label_names.txt": b"things\n",
}


def archive(path, inside, contents):
    with tarfile.open(path, "w:gz") as members:
        folder = tarfile.TarInfo(inside)
        folder.type = tarfile.DIRTYPE
        members.addfile(folder)
        for name, content in contents.items():
            member = tarfile.TarInfo(f"{inside}/{name}")
            member.size = len(content)
            members.addfile(member, io.BytesIO(content))
    return hashlib.md5(path.read_bytes()).hexdigest()


def write_archive(folder, distribution, contents):
    """Write an archive in the published format into `folder`; return the distribution with its checksum."""
    md5 = archive(folder / distribution.archive.name, distribution.inside, contents)
    return replace(distribution, archive=replace(distribution.archive, md5=md5, url="http://127.0.0.1:9/none"))


def write_folder(folder, distribution, contents):
    """Write an unpacked archive into `folder`; return the distribution with its checksums."""
    (folder / distribution.inside).mkdir()
    for name, content in contents.items():
        (folder / distribution.inside / name).write_bytes(content)

    def sums(names):
        return {name: hashlib.md5(contents[name]).hexdigest() if name in contents else "0" for name in names}

    return replace(distribution, train=sums(distribution.train), test=sums(distribution.test))


@pytest.mark.parametrize("store", [write_archive, write_folder])
def test_cifar_10_is_read(tmp_path, store):
    """Batches come in order, channels last, with their labels and the official test set."""
    dataset = cifar.load(store(tmp_path, cifar.CIFAR_10, TEN | TEN_TEST), tmp_path)
    assert np.array_equal(dataset.pool.images, np.concatenate([random_images(i, 4) for i in range(1, 6)]))
    assert dataset.pool.labels.tolist() == [i + j for i in range(1, 6) for j in range(4)]
    assert np.array_equal(dataset.test.images, random_images(9, 3))
    assert dataset.test.labels.tolist() == [9, 0, 5]
    assert dataset.classes[:2] == ("airplane", "automobile")


@pytest.mark.parametrize("store", [write_archive, write_folder])
def test_cifar_100_has_the_fine_classes(tmp_path, store):
    """The second of the two label bytes is the class, and the names come from the distribution."""
    dataset = cifar.load(store(tmp_path, cifar.CIFAR_100, HUNDRED), tmp_path)
    assert dataset.pool.labels.tolist() == FINE.tolist()
    assert dataset.test.labels.tolist() == FINE[::-1].tolist()
    assert np.array_equal(dataset.pool.images, random_images(1, 3))
    assert dataset.classes[99] == "thing_99"


def test_an_absent_official_test_file_is_allowed(tmp_path):
    """A mirror's unpacked folder without the test file gives no official test set."""
    assert cifar.load(write_folder(tmp_path, cifar.CIFAR_10, TEN), tmp_path).test is None


def test_an_absent_training_file_is_named(tmp_path):
    """A mirror's unpacked folder without a training file is an error with its path."""
    distribution = write_folder(tmp_path, cifar.CIFAR_10, TEN)
    (tmp_path / "cifar-10-batches-bin/data_batch_3.bin").unlink()
    with pytest.raises(FctError, match=r"data_batch_3\.bin is not here"):
        cifar.load(distribution, tmp_path)


def test_a_changed_file_is_named(tmp_path):
    """An unpacked file with another checksum is an error with both sums."""
    distribution = write_folder(tmp_path, cifar.CIFAR_10, TEN)
    (tmp_path / "cifar-10-batches-bin/data_batch_2.bin").write_bytes(TEN["data_batch_3.bin"])
    with pytest.raises(FctError, match=r"data_batch_2\.bin: its MD5 is .* the published one is"):
        cifar.load(distribution, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("test.bin"), r"does not contain cifar-100-binary/test\.bin"),
        (lambda c: c.update({"train.bin": c["train.bin"][:-1]}), r"train\.bin has 9221 bytes"),
        (lambda c: c.update({"train.bin": b""}), r"train\.bin has 0 bytes"),
        (lambda c: c.update({"fine_label_names.txt": b"cat dog"}), "a label is 99, but there are only 2 classes"),
    ],
    ids=["member-missing", "not-whole-records", "empty", "label-out-of-range"],
)
def test_an_archive_in_another_format_is_an_error(tmp_path, change, message):
    """The error for an archive of the right checksum but another format names the file and the fault."""
    contents = dict(HUNDRED)
    change(contents)
    with pytest.raises(FctError, match=message):
        cifar.load(write_archive(tmp_path, cifar.CIFAR_100, contents), tmp_path)


def test_a_link_in_an_archive_is_not_followed(tmp_path):
    """A link in an archive does not count as the file of that name."""
    path = tmp_path / cifar.CIFAR_100.archive.name
    with tarfile.open(path, "w:gz") as members:
        link = tarfile.TarInfo("cifar-100-binary/train.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        members.addfile(link)
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    distribution = replace(cifar.CIFAR_100, archive=replace(cifar.CIFAR_100.archive, md5=md5))
    with pytest.raises(FctError, match=r"does not contain .*cifar-100-binary/train\.bin"):
        cifar.load(distribution, tmp_path)


def test_a_cut_archive_is_an_error(tmp_path):
    """An archive that ends early is named as unreadable."""
    path = tmp_path / cifar.CIFAR_100.archive.name
    archive(path, "cifar-100-binary", HUNDRED)
    path.write_bytes(path.read_bytes()[:-2000])
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    distribution = replace(cifar.CIFAR_100, archive=replace(cifar.CIFAR_100.archive, md5=md5))
    with pytest.raises(FctError, match="not a readable archive"):
        cifar.load(distribution, tmp_path)
