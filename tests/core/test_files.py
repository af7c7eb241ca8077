"""Files appear whole or not at all."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    with files.atomic_folder(target) as folder:
        (folder / "a").write_text("old")
    with pytest.raises(RuntimeError, match="stop"), files.atomic_folder(target) as folder:
        (folder / "a").write_text("new")
        raise RuntimeError("stop")
    assert (target / "a").read_text() == "old"
    with files.atomic_folder(target) as folder:
        (folder / "b").write_text("new")
    assert [path.name for path in target.iterdir()] == ["b"]


def test_a_killed_build_leaves_nothing_that_the_next_one_does_not_clear(tmp_path):
    """After kill -9 in the middle, the target is absent and the next build removes what was left."""
    code = (
        "import os, signal, sys; from pathlib import Path; from fct.core.files import atomic_folder\n"
        "with atomic_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_text('x'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    target = tmp_path / "out"
    subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    assert not target.exists()
    assert len(list(tmp_path.iterdir())) == 1
    with files.atomic_folder(target):
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


NAMES = st.text("abcxyz0189._-", min_size=1, max_size=8).filter(lambda name: name.strip("."))


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=3000), st.binary(max_size=3000))
def test_any_bytes_are_written_whole(old, new):
    """What is written is what is read, the last write counts, nothing lies beside it, and all may read it."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "made/out.bin"
        for content in (old, new):
            files.write_bytes(path, content)
            assert path.read_bytes() == content
        assert list(path.parent.iterdir()) == [path]
        assert path.stat().st_mode & 0o777 == 0o644


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=3000), st.binary(min_size=1, max_size=3000), st.sampled_from(["fsync", "chmod", "replace"]))
def test_a_write_that_breaks_anywhere_leaves_the_old_file(old, new, where):
    """A full disk or an interrupt at any step: the old content stands whole, and no half of the new one is left."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / "out.bin"
        files.write_bytes(path, old)

        def breaks(*_arguments, **_more):
            raise KeyboardInterrupt

        patch.setattr(*((os, where) if where == "fsync" else (Path, where)), breaks)
        with pytest.raises(KeyboardInterrupt):
            files.write_bytes(path, new)
        assert path.read_bytes() == old
        assert list(path.parent.iterdir()) == [path]


def test_who_reads_the_old_file_reads_it_to_the_end(tmp_path):
    """A new file takes the old one's place and is not written into it: an open handle never sees half of each."""
    path = tmp_path / "out.bin"
    files.write_bytes(path, b"old" * 1000)
    with path.open("rb") as reader:
        start = reader.read(3)
        files.write_bytes(path, b"new" * 10)
        assert start + reader.read() == b"old" * 1000
    assert path.read_bytes() == b"new" * 10


def test_a_writer_that_is_killed_leaves_the_old_file(tmp_path):
    """kill -9 before the new file takes its place: the old content stands, whole."""
    code = (
        "import os, signal, sys; from pathlib import Path; from fct.core import files\n"
        "os.fsync = lambda _handle: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_bytes(Path(sys.argv[1]), b'new' * 100)"
    )
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(NAMES, st.binary(max_size=200), max_size=5), st.dictionaries(NAMES, st.binary(max_size=200)))
def test_a_folder_holds_what_its_block_made_or_what_was_there(old, new):
    """Any files: a block that raises changes nothing, one that ends well leaves its own files and no others."""

    def found(path):
        return {each.name: each.read_bytes() for each in path.iterdir()}

    def fill(path, content):
        for name, each in content.items():
            (path / name).write_bytes(each)

    with TemporaryDirectory() as place:
        target = Path(place) / "out"
        with files.atomic_folder(target) as folder:
            fill(folder, old)
        with pytest.raises(RuntimeError, match="stop"), files.atomic_folder(target) as folder:
            assert not list(folder.iterdir())
            fill(folder, new)
            raise RuntimeError("stop")
        assert found(target) == old
        with files.atomic_folder(target) as folder:
            fill(folder, new)
        assert found(target) == new
        assert list(Path(place).iterdir()) == [target]
