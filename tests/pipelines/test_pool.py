"""What a host keeps between the runs of a work pool, and what it does not."""

import pytest

from pipelines import pool


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Return the folder that a host keeps."""
    monkeypatch.setattr(pool, "KEPT", tmp_path / "kept")
    return tmp_path / "kept"


def test_the_clone_of_a_killed_run_is_removed_by_the_next(kept, tmp_path, monkeypatch):
    """Its worker was killed too, and could not do it. Checkpoints that it links to stay."""
    (kept / "checkpoints").mkdir(parents=True)
    (kept / "checkpoints/last.pt").touch()
    for name in ("one", "two"):
        clone = tmp_path / f"temporary-{name}/clone"
        (clone / ".fct").mkdir(parents=True)
        (clone / ".fct/checkpoints").symlink_to(kept / "checkpoints")
        monkeypatch.chdir(clone)
        pool._remove_dead_clones(name)
    assert not (tmp_path / "temporary-one").exists()
    assert clone.exists()
    assert (kept / "checkpoints/last.pt").exists()
    assert [note.name for note in (kept / "clones").iterdir()] == ["two"]
