"""Published files: found, proven, kept, or an error that says all."""

import gzip
import hashlib
import socket
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fct.core.errors import FctError
from fct.data import download
from fct.data.download import Fallback, PublishedFile, fetch, mirror_folder

CONTENT = bytes(range(256)) * 4096
DEAD = "http://127.0.0.1:9"  # the discard port, where nothing listens


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Print nothing."""


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "server"
    folder.mkdir()
    running = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    yield folder, f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("FCT_DATA_MIRROR", raising=False)
    return tmp_path / "cache/fct/set"


@pytest.fixture
def mirror(tmp_path):
    folder = tmp_path / "mirror"
    folder.mkdir()
    return folder


def published(url=DEAD, name="one.bin", content=CONTENT, **more):
    return PublishedFile(name, "set", f"{url}/{name}", hashlib.md5(content).hexdigest(), **more)


@pytest.mark.parametrize("place", ["one.bin", "set/one.bin"])
def test_a_mirror_is_used_where_it_lies(mirror, cache, place):
    """A good file of a mirror is used in place, and the network is left alone."""
    (mirror / place).parent.mkdir(exist_ok=True)
    (mirror / place).write_bytes(CONTENT)
    assert fetch([published()], mirror) == [mirror / place]
    assert not cache.exists()


def test_a_download_is_kept(server, cache):
    """What the server gives is verified and kept: the next time needs no server."""
    folder, url = server
    (folder / "one.bin").write_bytes(CONTENT)
    assert fetch([published(url)], None) == [cache / "one.bin"]
    (folder / "one.bin").unlink()
    (path,) = fetch([published(url)], None)
    assert path.read_bytes() == CONTENT
    assert [left.name for left in cache.parent.iterdir()] == ["set"]


@pytest.mark.parametrize("spoilt", ["mirror", "cache"])
def test_a_spoilt_copy_is_passed_over(server, cache, mirror, spoilt):
    """A mirror's or the cache's file with another checksum is not used: the server's is."""
    folder, url = server
    (folder / "one.bin").write_bytes(CONTENT)
    place = {"mirror": mirror, "cache": cache}[spoilt]
    place.mkdir(parents=True, exist_ok=True)
    (place / "one.bin").write_bytes(CONTENT[:-1])
    (path,) = fetch([published(url)], mirror)
    assert path.read_bytes() == CONTENT


def test_wrong_bytes_from_the_server_are_never_kept(server, cache):
    """A server's file with another checksum is an error with both sums, and does not enter the cache."""
    folder, url = server
    (folder / "one.bin").write_bytes(b"a portal's log-in page")
    other = hashlib.md5(b"a portal's log-in page").hexdigest()
    with pytest.raises(FctError, match=f"{url}/one.bin: MD5 .*{published().md5}.*{other}"):
        fetch([published(url)], None)
    assert list(cache.iterdir()) == []


def test_all_that_was_tried_is_listed(mirror, cache, server):
    """When nothing works, one error lists each place, why it failed, and what to do."""

    def fail(_):
        raise FctError("apt is not here")

    (mirror / "one.bin").write_bytes(b"broken")
    with pytest.raises(FctError) as caught:
        fetch([published(server[1])], mirror, Fallback("a package", fail))
    said = str(caught.value)
    assert f"{mirror / 'one.bin'}: its MD5" in said
    assert f"{mirror / 'set/one.bin'}: no such file" in said
    assert f"{cache / 'one.bin'}: no such file" in said
    assert "/one.bin: 404 " in said
    assert "a package: apt is not here" in said
    assert "FCT_DATA_MIRROR" in said


def test_the_last_way_gives_what_the_server_does_not(server, cache):
    """A further way is asked only for the files that are still missing, and its files are verified and kept."""
    folder, url = server
    (folder / "one.bin").write_bytes(CONTENT)

    def give(work):
        (work / "one.bin").write_bytes(b"not to be used")
        (work / "two.bin").write_bytes(b"two")
        return work

    wanted = [published(url), published(url, "two.bin", b"two")]
    assert [path.read_bytes() for path in fetch(wanted, None, Fallback("a package", give))] == [CONTENT, b"two"]
    assert sorted(path.name for path in cache.iterdir()) == ["one.bin", "two.bin"]


@pytest.mark.parametrize(
    ("stored", "is_used"),
    [
        (gzip.compress(CONTENT, 1), True),
        (gzip.compress(CONTENT[:-1]), False),
        (gzip.compress(CONTENT)[:-9], False),
        (b"not gzip", False),
    ],
    ids=["same-content", "other-content", "cut", "not-gzip"],
)
def test_a_file_compressed_anew_is_verified_by_its_content(mirror, stored, is_used):
    """Where the decompressed content has a checksum, other gzip bytes of the same content will do, and no others."""
    (mirror / "one.bin").write_bytes(stored)
    wanted = published(content=gzip.compress(CONTENT), content_md5=hashlib.md5(CONTENT).hexdigest())
    if is_used:
        assert fetch([wanted], mirror) == [mirror / "one.bin"]
    else:
        with pytest.raises(FctError, match="its MD5 is"):
            fetch([wanted], mirror)


def test_an_installed_package_is_left_as_it_is(tmp_path, cache):
    """Files that a further way finds on this machine are copied into the cache, not moved there."""
    (tmp_path / "one.bin").write_bytes(CONTENT)
    assert fetch([published()], None, Fallback("a package", lambda _: tmp_path)) == [cache / "one.bin"]
    assert (tmp_path / "one.bin").read_bytes() == CONTENT


def test_a_silent_server_does_not_hold_up(monkeypatch):
    """A server that accepts and never answers is given up after the time-out."""
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(FctError, match="timed out"):
            fetch([published(url)], None)


def test_a_dead_server_is_asked_once(monkeypatch):
    """Files of a server that does not answer are not waited for one by one."""
    asked = []
    real = download._download
    monkeypatch.setattr(download, "_download", lambda file, tried: asked.append(file.name) or real(file, tried))
    with pytest.raises(FctError, match=r"Could not get one\.bin, two\.bin"):
        fetch([published(), published(name="two.bin")], None)
    assert asked == ["one.bin"]


def test_the_environment_goes_before_params(tmp_path, monkeypatch):
    """FCT_DATA_MIRROR is looked at first, then data.mirror."""
    assert mirror_folder(None) is None
    assert mirror_folder(str(tmp_path)) == tmp_path
    monkeypatch.setenv("FCT_DATA_MIRROR", str(tmp_path.parent))
    assert mirror_folder(str(tmp_path)) == tmp_path.parent


def test_a_misspelt_mirror_is_an_error(tmp_path, monkeypatch):
    """A mirror that is no folder is named with the key that gives it."""
    with pytest.raises(FctError, match=r"data\.mirror: .*nowhere"):
        mirror_folder(str(tmp_path / "nowhere"))
    monkeypatch.setenv("FCT_DATA_MIRROR", "/nowhere")
    with pytest.raises(FctError, match="FCT_DATA_MIRROR: '/nowhere' is not a folder"):
        mirror_folder(None)
