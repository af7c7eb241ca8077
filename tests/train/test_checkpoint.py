"""A checkpoint belongs to one training, is whole, and loads without running code."""

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
    """Tensors and numbers come back, for whoever names the training by the same identity."""
    loaded = Checkpoint({"seed": 0}, tmp_path).load()
    assert torch.equal(loaded["network"]["weight"], STATE["network"]["weight"])
    assert (loaded["history"], loaded["best_epoch"]) == (STATE["history"], 0)
    assert [path.name for path in checkpoint.path.parent.iterdir()] == ["last.pt"]


@pytest.mark.usefixtures("checkpoint")
def test_another_identity_finds_nothing(tmp_path):
    """A changed parameter looks elsewhere."""
    assert Checkpoint({"seed": 1}, tmp_path).load() is None


def test_other_code_or_torch_finds_nothing(checkpoint, tmp_path, monkeypatch):
    """A change in the code that decides the weights, or another torch, starts anew."""
    monkeypatch.setattr("fct.train.checkpoint.code_digest", lambda: "other")
    assert Checkpoint({"seed": 0}, tmp_path).load() is None
    monkeypatch.undo()
    monkeypatch.setattr(torch, "__version__", "3.0")
    assert Checkpoint({"seed": 0}, tmp_path).path != checkpoint.path


def test_the_code_digest_covers_training_and_not_judging(tmp_path, monkeypatch):
    """A changed line in a method changes the digest; one in the evaluation does not."""
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
def test_a_damaged_checkpoint_says_what_to_do(checkpoint, damage):
    """Half a file, an empty one or another kind of file is refused with its name and the way out."""
    checkpoint.path.write_bytes(damage(checkpoint.path.read_bytes()))
    with pytest.raises(FctError, match=r"last\.pt is damaged \(.*\)\. Remove it to train from the start\.") as caught:
        checkpoint.load()
    assert str(checkpoint.path) in str(caught.value)


def test_a_checkpoint_with_code_in_it_is_refused(checkpoint, tmp_path):
    """Loading is weights-only: what a pickle would run is not run."""

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"network": Bomb()}, checkpoint.path, pickle_module=pickle)
    with pytest.raises(FctError, match="is damaged"):
        checkpoint.load()
    assert not (tmp_path / "ran").exists()


def test_old_trainings_are_forgotten(tmp_path):
    """Only the three newest trainings keep their checkpoint."""
    for seed in range(5):
        saved = Checkpoint({"seed": seed}, tmp_path)
        saved.save(STATE)
        os.utime(saved.path.parent, (seed, seed))
    Checkpoint({"seed": 4}, tmp_path).save(STATE)
    kept = [seed for seed in range(5) if Checkpoint({"seed": seed}, tmp_path).load()]
    assert kept == [2, 3, 4]


def test_a_training_that_has_ended_may_be_forgotten(checkpoint):
    """Its folder is gone, and others' stay."""
    checkpoint.forget()
    assert checkpoint.load() is None
    assert checkpoint.root.exists()


def test_a_folder_that_another_process_removes_is_no_error(tmp_path):
    """A link to nothing is what the list of folders shows for one that has just gone."""
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    saved = Checkpoint({"seed": 0}, tmp_path)
    saved.save(STATE)
    assert saved.load()


def test_the_same_state_is_the_same_bytes():
    """What is saved follows from content only."""
    assert serialise(STATE) == serialise(STATE)
