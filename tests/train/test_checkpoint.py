"""A checkpoint belongs to one training, is complete, and loads without running code."""

import os
import pickle

import pytest
import torch

from fct.core.errors import FctError
from fct.models.state import serialise
from fct.train.checkpoint import Checkpoint, code_digest

STATE = {"network": {"weight": torch.arange(6.0).view(2, 3)}, "history": [{"loss": 1.5}], "best_epoch": 0}


@pytest.fixture
def checkpoint(tmp_path):
    saved = Checkpoint({"seed": 0}, tmp_path)
    saved.save(STATE)
    return saved


def test_what_was_saved_is_loaded(checkpoint, tmp_path):
    """A checkpoint of the same identity loads the saved tensors and numbers."""
    loaded = Checkpoint({"seed": 0}, tmp_path).load()
    assert torch.equal(loaded["network"]["weight"], STATE["network"]["weight"])
    assert (loaded["history"], loaded["best_epoch"]) == (STATE["history"], 0)
    assert [path.name for path in checkpoint.path.parent.iterdir()] == ["last.pt"]


@pytest.mark.usefixtures("checkpoint")
def test_another_identity_finds_nothing(tmp_path):
    """With a changed parameter there is no checkpoint to load."""
    assert Checkpoint({"seed": 1}, tmp_path).load() is None


def test_other_code_or_torch_finds_nothing(checkpoint, tmp_path, monkeypatch):
    """After a change of the code that decides the weights, or of torch, there is no checkpoint to load."""
    monkeypatch.setattr("fct.train.checkpoint.code_digest", lambda: "other")
    assert Checkpoint({"seed": 0}, tmp_path).load() is None
    monkeypatch.undo()
    monkeypatch.setattr(torch, "__version__", "3.0")
    assert Checkpoint({"seed": 0}, tmp_path).path != checkpoint.path


def test_the_code_digest_covers_training_but_not_evaluation(tmp_path, monkeypatch):
    """A changed line in a method changes the digest. A changed line in the evaluation does not."""
    import fct

    for name in ("methods", "evaluate"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(fct, "__file__", str(tmp_path / "__init__.py"))
    before = code_digest()
    (tmp_path / "evaluate/a.py").write_text("x = 2\n")
    assert code_digest() == before
    (tmp_path / "methods/a.py").write_text("x = 2\n")
    assert code_digest() != before


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda _: b"", lambda _: b"not a file of torch's"])
def test_a_damaged_checkpoint_is_an_error(checkpoint, damage):
    """The error for half a file, an empty file or another kind of file names it and says what to do."""
    checkpoint.path.write_bytes(damage(checkpoint.path.read_bytes()))
    with pytest.raises(FctError, match=r"last\.pt is damaged \(.*\)\. Delete it to train from the start\.") as caught:
        checkpoint.load()
    assert str(checkpoint.path) in str(caught.value)


def test_a_checkpoint_with_code_in_it_is_an_error(checkpoint, tmp_path):
    """Only weights are loaded. Code in a pickle does not run."""

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"network": Bomb()}, checkpoint.path, pickle_module=pickle)
    with pytest.raises(FctError, match="is damaged"):
        checkpoint.load()
    assert not (tmp_path / "ran").exists()


def test_old_checkpoints_are_deleted(tmp_path):
    """Only the three newest trainings keep their checkpoint."""
    for seed in range(5):
        saved = Checkpoint({"seed": seed}, tmp_path)
        saved.save(STATE)
        os.utime(saved.path.parent, (seed, seed))
    Checkpoint({"seed": 4}, tmp_path).save(STATE)
    remaining = [seed for seed in range(5) if Checkpoint({"seed": seed}, tmp_path).load()]
    assert remaining == [2, 3, 4]


def test_trainings_at_the_same_time_keep_all_checkpoints(tmp_path):
    """With `keep=None`, saving one deletes no other: each goes on from its last epoch."""
    saved = [Checkpoint({"seed": seed}, tmp_path, keep=None) for seed in range(5)]
    for each in saved:
        each.save(STATE)
    assert all(each.load() for each in saved)


def test_forget_deletes_the_checkpoint(checkpoint):
    """The folder of the training is deleted, and the folders of others stay."""
    checkpoint.forget()
    assert checkpoint.load() is None
    assert checkpoint.root.exists()


def test_a_folder_that_another_process_removes_is_no_error(tmp_path):
    """A broken link behaves like a folder that was just deleted. Saving works all the same."""
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    saved = Checkpoint({"seed": 0}, tmp_path)
    saved.save(STATE)
    assert saved.load()


def test_the_same_state_gives_the_same_bytes():
    """The bytes of a saved state depend only on its content."""
    assert serialise(STATE) == serialise(STATE)
