"""Files appear whole or not at all."""

import os
import subprocess
import sys

import pytest

from fct.core import files


def test_a_failed_write_leaves_the_old_file(tmp_path):
    """Content that cannot be written leaves what was there, and no temporary file."""
    path = tmp_path / "out.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(path, {"a": float("nan")})
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_only_when_complete(tmp_path):
    """A block that raises leaves the old folder, one that ends well puts the new one in its place."""
    target = tmp_path / "out"
    with files.new_folder(target) as folder:
        (folder / "a").write_text("old")
    with pytest.raises(RuntimeError, match="stop"), files.new_folder(target) as folder:
        (folder / "a").write_text("new")
        raise RuntimeError("stop")
    assert (target / "a").read_text() == "old"
    with files.new_folder(target) as folder:
        (folder / "b").write_text("new")
    assert [path.name for path in target.iterdir()] == ["b"]


def test_a_killed_build_leaves_nothing_that_the_next_one_does_not_clear(tmp_path):
    """After kill -9 in the middle, the target is absent and the next build removes what was left."""
    code = (
        "import os, signal, sys; from pathlib import Path; from fct.core.files import new_folder\n"
        "with new_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_text('x'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    target = tmp_path / "out"
    subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    assert not target.exists()
    assert len(list(tmp_path.iterdir())) == 1
    with files.new_folder(target):
        pass
    assert list(tmp_path.iterdir()) == [target]


def test_digests_follow_content_and_not_order():
    """The same keys in another order digest alike, another value does not."""
    assert files.digest({"a": 1, "b": 2}) == files.digest({"b": 2, "a": 1})
    assert files.digest({"a": 1}) != files.digest({"a": 2})


def test_file_checksums_are_the_published_ones(tmp_path):
    """MD5 and SHA-256 of a known file are the known values."""
    path = tmp_path / "abc"
    path.write_text("abc")
    assert files.md5(path) == "900150983cd24fb0d6963f7d28e17f72"
    assert files.sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_pipe_is_written_to_and_stays(tmp_path):
    """What is no plain file, as /dev/stdout, is never replaced by one."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    handle = os.open(pipe, os.O_RDWR)
    files.write_bytes(pipe, b"verdict")
    assert os.read(handle, 100) == b"verdict"
    os.close(handle)
    assert pipe.is_fifo()
