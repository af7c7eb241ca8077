"""Files and folders are written whole or not at all."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fct.core import files


def test_a_failed_write_leaves_the_old_file(tmp_path):
    """A write that fails leaves the old file, and no temporary file."""
    path = tmp_path / "out.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(path, {"a": float("nan")})
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_only_when_complete(tmp_path):
    """A block that raises leaves the old folder. A block that ends replaces it by the new one."""
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


def test_the_next_build_deletes_what_a_killed_one_left(tmp_path):
    """After kill -9 there is no target folder, and the next build deletes the temporary folder."""
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
    """The order of keys does not change the digest, and another value does."""
    assert files.digest({"a": 1, "b": 2}) == files.digest({"b": 2, "a": 1})
    assert files.digest({"a": 1}) != files.digest({"a": 2})


def test_file_checksums_are_the_published_ones(tmp_path):
    """MD5 and SHA-256 of a file have the published values."""
    path = tmp_path / "abc"
    path.write_text("abc")
    assert files.md5(path) == "900150983cd24fb0d6963f7d28e17f72"
    assert files.sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    """A pipe or a device, such as /dev/stdout, is not replaced by a file."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    handle = os.open(pipe, os.O_RDWR)
    files.write_bytes(pipe, b"verdict")
    assert os.read(handle, 100) == b"verdict"
    os.close(handle)
    assert pipe.is_fifo()


NAMES = st.text("abcxyz0189._-", min_size=1, max_size=8).filter(lambda name: name.strip("."))


@settings(max_examples=40)
@given(st.binary(max_size=3000), st.binary(max_size=3000))
def test_any_bytes_are_written_whole(old, new):
    """The file has the bytes of the last write, and there is no other file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "made/out.bin"
        for content in (old, new):
            files.write_bytes(path, content)
            assert path.read_bytes() == content
        assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("umask", "file", "folder"), [(0o022, 0o644, 0o755), (0o027, 0o640, 0o750), (0o002, 0o664, 0o775)]
)
def test_permissions_follow_the_umask(tmp_path, umask, file, folder):
    """As of any file or folder that the user makes."""
    before = os.umask(umask)
    try:
        files.write_bytes(tmp_path / "out.bin", b"new")
        with files.atomic_folder(tmp_path / "out"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "out.bin").stat().st_mode & 0o777 == file
    assert (tmp_path / "out").stat().st_mode & 0o777 == folder


@settings(max_examples=40)
@given(st.binary(max_size=3000), st.binary(min_size=1, max_size=3000), st.sampled_from(["fsync", "replace"]))
def test_a_write_that_fails_at_any_step_leaves_the_old_file(old, new, where):
    """After an interrupt at any step the old content is complete, and there is no temporary file."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / "out.bin"
        files.write_bytes(path, old)

        def interrupt(*_arguments, **_options):
            raise KeyboardInterrupt

        patch.setattr(*((os, where) if where == "fsync" else (Path, where)), interrupt)
        with pytest.raises(KeyboardInterrupt):
            files.write_bytes(path, new)
        assert path.read_bytes() == old
        assert list(path.parent.iterdir()) == [path]


def test_a_reader_of_the_old_file_reads_it_to_the_end(tmp_path):
    """The new file replaces the old one, so an open handle still reads the old content."""
    path = tmp_path / "out.bin"
    files.write_bytes(path, b"old" * 1000)
    with path.open("rb") as reader:
        start = reader.read(3)
        files.write_bytes(path, b"new" * 10)
        assert start + reader.read() == b"old" * 1000
    assert path.read_bytes() == b"new" * 10


def kill_writer(path):
    """Kill a process before it replaces `path`. Return the temporary file that it leaves."""
    code = (
        "import os, signal, sys; from pathlib import Path; from fct.core import files\n"
        "os.fsync = lambda _handle: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_bytes(Path(sys.argv[1]), b'new' * 100)"
    )
    before = set(path.parent.iterdir())
    process = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert process.returncode == -signal.SIGKILL
    (leftover,) = set(path.parent.iterdir()) - before
    return leftover


def test_a_writer_that_is_killed_leaves_the_old_file(tmp_path):
    """After kill -9 before the replacement, the old content is complete."""
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    kill_writer(path)
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("name", ["out.bin", "out[1]*.bin", "ü" * 90])
def test_a_later_write_deletes_what_killed_writers_left(tmp_path, name):
    """The temporary files of this name that have not changed for more than an hour; those of other names stay."""
    path, other = tmp_path / name, kill_writer(tmp_path / "other.bin")
    for leftover in (kill_writer(path), kill_writer(path), other):
        os.utime(leftover, (time.time() - 3700,) * 2)
    files.write_bytes(path, b"newest")
    assert set(tmp_path.iterdir()) == {path, other}


def test_what_another_process_is_writing_stays(tmp_path):
    """It may be about to replace the same file."""
    path = tmp_path / "out.bin"
    being_written = kill_writer(path)
    files.write_bytes(path, b"newest")
    assert being_written.read_bytes() == b"new" * 100


def test_git_ignores_what_a_killed_writer_left(tmp_path):
    """Otherwise the leftover of metrics/gate.json would be a change that nobody committed."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / "metrics").mkdir()
    (tmp_path / ".gitignore").write_text((Path(__file__).parents[2] / ".gitignore").read_text())
    kill_writer(tmp_path / "metrics/gate.json")
    command = ["git", "-C", str(tmp_path), "status", "--porcelain", "--untracked-files=all"]
    assert subprocess.run(command, capture_output=True, check=True, text=True).stdout == "?? .gitignore\n"


@settings(max_examples=30)
@given(st.dictionaries(NAMES, st.binary(max_size=200), max_size=5), st.dictionaries(NAMES, st.binary(max_size=200)))
def test_a_folder_has_the_new_files_or_the_old_ones(old, new):
    """A block that raises changes nothing. A block that ends leaves exactly its own files."""

    def contents(folder):
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    def fill(folder, files_by_name):
        for name, content in files_by_name.items():
            (folder / name).write_bytes(content)

    with TemporaryDirectory() as parent:
        target = Path(parent) / "out"
        with files.atomic_folder(target) as folder:
            fill(folder, old)
        with pytest.raises(RuntimeError, match="stop"), files.atomic_folder(target) as folder:
            assert not list(folder.iterdir())
            fill(folder, new)
            raise RuntimeError("stop")
        assert contents(target) == old
        with files.atomic_folder(target) as folder:
            fill(folder, new)
        assert contents(target) == new
        assert list(Path(parent).iterdir()) == [target]


@pytest.mark.parametrize(("mode", "expected"), [(files.OWNER_ONLY, 0o600), (files.PUBLIC, 0o640)])
def test_a_secret_is_for_its_owner_at_any_moment(tmp_path, monkeypatch, mode, expected):
    """The temporary file has the permissions already; those of other files follow the umask."""
    seen = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode)))
    before = os.umask(0o027)
    try:
        files.write_text(tmp_path / "secret", "x", mode)
    finally:
        os.umask(before)
    assert seen == [expected]
