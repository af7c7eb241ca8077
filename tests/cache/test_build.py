"""Caches are built shard by shard, for all missing qualities at once, and a killed build goes on."""

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from fct.cache import build, store
from fct.core.errors import FctError
from fct.splits.shards import Shards
from fct.splits.views import compress_split

MANY = 1400  # images of 768 bytes: two shards of at most 1 MiB


@pytest.fixture
def sharded(toy):
    """Give the toy a train split of two shards, and no cache."""
    images = np.random.default_rng(1).integers(0, 256, (MANY, 16, 16, 3), np.uint8)
    np.save(toy.root / "data/splits/train/images.npy", images)
    for name in ("labels", "quality"):
        np.save(toy.root / f"data/splits/train/{name}.npy", np.full(MANY, 1))
    shutil.rmtree(toy.root / "data/cache")
    return toy


def finished(toy):
    """Return the names of finished shards, by quality."""
    found = sorted((toy.root / ".fct/cache-build").glob("*/q*/*.npy"))
    return [f"{path.parent.name}/{path.name.partition('.')[0]}" for path in found]


def checksums(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_a_split_larger_than_a_shard_has_several_files(sharded):
    """No file has more pixels than `cache.shard`, the manifest has the checksum of each, and views read as one."""
    manifest = sharded.build_cache(20, shard_mib=1)
    folder = sharded.root / "data/cache/q20"
    files = ["manifest.json", "train-00000.npy", "train-00001.npy", "val-00000.npy"]
    assert sorted(path.name for path in folder.iterdir()) == files
    assert np.load(folder / files[1], mmap_mode="r").nbytes <= 1 << 20
    assert manifest["images"] == {"train": MANY, "val": 48}
    assert manifest["sha256"]["train"] == [checksums(folder)[name] for name in files[1:3]]
    views = sharded.views(qualities=(20,))[20]
    assert isinstance(views, Shards)
    np.testing.assert_array_equal(np.array(views), compress_split(sharded.split("train"), 20, "4:2:0"))


def test_a_file_is_what_numpy_would_write(sharded, tmp_path):
    """A shard has the bytes of `np.save`."""
    sharded.build_cache(20)
    np.save(tmp_path / "views.npy", compress_split(sharded.split("train"), 20, "4:2:0"))
    assert (tmp_path / "views.npy").read_bytes() == (sharded.root / "data/cache/q20/train-00000.npy").read_bytes()


def test_the_first_stage_builds_what_others_need(sharded, monkeypatch):
    """The shards of other missing qualities wait for their stages, which compress nothing, and then nothing is left."""
    sharded.build_cache(20, ahead=(20, 60))
    assert finished(sharded) == ["q60/train-00000", "q60/val-00000"]
    alone = checksums(sharded.root / "data/cache/q20")
    monkeypatch.setattr(build, "compress_shard", None)
    sharded.build_cache(60, ahead=(20, 60))
    assert not list((sharded.root / ".fct/cache-build").iterdir())
    monkeypatch.undo()
    for quality in (20, 60):
        together = checksums(sharded.root / f"data/cache/q{quality}")
        sharded.build_cache(quality)
        assert checksums(sharded.root / f"data/cache/q{quality}") == together
    assert checksums(sharded.root / "data/cache/q20") == alone


def test_a_quality_that_is_there_is_not_built_ahead(toy):
    """The toy's cache at quality 60 is current, so the stage of quality 20 leaves it alone, until splits change."""
    toy.build_cache(20, ahead=(20, 60))
    assert finished(toy) == []
    toy.build_cache(20, ahead=(20, 60), source_digest="f00d")
    assert finished(toy) == ["q60/train-00000", "q60/val-00000"]


def test_without_room_on_the_disk_only_the_own_quality_is_built(sharded, monkeypatch):
    """Building ahead never fills the disk."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 10**6, 10**6))
    sharded.build_cache(20, ahead=(20, 60))
    assert finished(sharded) == []
    assert (sharded.root / "data/cache/q20").is_dir()


KILLED = """
    import os, signal
    from pathlib import Path
    from fct.cache import build
    compress, done = build.compress_shard, []

    def compress_shard(task, **options):
        if done:
            next(Path(".fct/cache-build").glob("*/q20")).joinpath(".half").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(task)
        return compress(task, **options)

    build.compress_shard = compress_shard
    build.build_cache(20, "4:2:0", source_digest={digest!r}, shard_mib=1, ahead=(20, 60))
"""


@pytest.fixture
def interrupted(sharded, killed):
    """Kill a build of two qualities after its first shard."""
    killed(KILLED.format(digest=sharded.digest))
    assert finished(sharded) == ["q20/train-00000", "q60/train-00000"]
    return sharded


def test_a_killed_build_goes_on(interrupted, monkeypatch):
    """Run again, it compresses only what is missing, and has the same bytes as one that nobody disturbed."""
    compress, tasks = build.compress_shard, []

    def counted(task, **options):
        tasks.append((task[0].name, task[1]))
        return compress(task, **options)

    monkeypatch.setattr(build, "compress_shard", counted)
    interrupted.build_cache(20, shard_mib=1, ahead=(20, 60))
    interrupted.build_cache(60, shard_mib=1, ahead=(20, 60))
    assert tasks == [("train-00001.npy", (20, 60)), ("val-00000.npy", (20, 60))]
    assert not list((interrupted.root / ".fct/cache-build").iterdir())
    resumed = checksums(interrupted.root / "data/cache/q20")
    interrupted.build_cache(20, shard_mib=1)
    assert checksums(interrupted.root / "data/cache/q20") == resumed


@pytest.mark.parametrize("change", [{"source_digest": "f00d"}, {"subsampling": "4:4:4"}, {"shard_mib": 2}])
def test_what_was_built_for_other_params_is_deleted(interrupted, change):
    """Shards of other splits or params are never taken."""
    interrupted.build_cache(20, **{"shard_mib": 1} | change)
    assert not list((interrupted.root / ".fct/cache-build").iterdir())
    checked = {key: value for key, value in change.items() if key != "shard_mib"}
    views = interrupted.views(qualities=(20,), **checked)[20]
    expected = compress_split(interrupted.split("train"), 20, change.get("subsampling", "4:2:0"))
    np.testing.assert_array_equal(np.array(views), expected)


def test_what_other_code_built_is_not_taken(interrupted, monkeypatch):
    """Another version of this package or of Pillow could give other pixels."""
    monkeypatch.setattr(build, "code_identity", lambda: {"pillow": "another"})
    folder = interrupted.root / ".fct/cache-build"
    (before,) = folder.iterdir()
    interrupted.build_cache(20, shard_mib=1, ahead=(20, 60))
    assert before not in folder.iterdir()


def test_a_removed_quality_is_not_kept(interrupted):
    """Finished shards of a quality that nobody needs any more are deleted."""
    interrupted.build_cache(20, shard_mib=1, ahead=(20, 80))
    assert {name.partition("/")[0] for name in finished(interrupted)} == {"q80"}


def test_files_are_copied_where_links_are_impossible(sharded, monkeypatch):
    """Some file systems have no second names."""

    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    sharded.build_cache(20)
    store.verify_cache(20, "4:2:0", source_digest=sharded.digest)


def test_a_shard_that_another_machine_does_not_share_is_an_error(tmp_path):
    """A node said that it finished a shard, but the file is not here."""
    with pytest.raises(FctError, match=r"nowhere\.npy was finished by another machine, but is not here"):
        build._link(tmp_path / "nowhere.npy", tmp_path / "target.npy")


def test_more_files_than_a_process_may_open_are_an_error(monkeypatch):
    """Each shard is an open file. The error has the key and the limit."""
    monkeypatch.setattr(store.resource, "getrlimit", lambda _: (256, 1024))
    with pytest.raises(FctError, match=r"cache\.shard: the cache has 5,000 files, but this process may open 1,024"):
        store._allow_open_files(5_000)


def test_the_limit_of_open_files_is_raised_as_far_as_needed(monkeypatch):
    """Many systems allow far more open files than the usual 1,024, if a process asks."""
    asked = []
    monkeypatch.setattr(store.resource, "getrlimit", lambda _: (256, 100_000))
    monkeypatch.setattr(store.resource, "setrlimit", lambda _, limits: asked.append(limits))
    store._allow_open_files(5_000)
    ((soft, hard),) = asked
    assert 5_000 < soft < 6_000
    assert hard == 100_000


@pytest.mark.parametrize("resized_crop", [None, {"scale": (0.3, 1.0), "ratio": (0.8, 1.25)}])
@pytest.mark.parametrize("step", [1, 3])
def test_trainings_read_several_shards_as_one_array(sharded, resized_crop, step):
    """Batches have the same pixels from shards as from one array, with either crop, and of a part of the images."""
    import torch

    from fct.train.batches import Cached, epoch
    from fct.train.crop import Augmentation
    from fct.train.params import ResizedCrop

    sharded.build_cache(20, shard_mib=1)
    crop = resized_crop and ResizedCrop.model_validate(resized_crop)
    augmentation = Augmentation(2, flip=True, resized_crop=crop)
    shards = sharded.views(qualities=(20,))[20]
    batches = [
        epoch(
            sharded.split("train").every(step),
            Cached({20: views}).every(step),
            augmentation,
            batch_size=64,
            rng=np.random.default_rng(0),
            device=torch.device("cpu"),
        )
        for views in (shards, np.array(shards))
    ]
    count = 0
    for of_shards, of_array in zip(*batches, strict=True):
        assert torch.equal(of_shards.compressed, of_array.compressed)
        count += 1
    assert count == MANY // step // 64


def test_the_lock_lies_beside_the_build(sharded):
    """Two stages at the same time take turns."""
    sharded.build_cache(20)
    assert Path(sharded.root / ".fct/cache-build.lock").exists()
