"""Fashion-MNIST's files are read as published."""

import gzip

import numpy as np
import pytest

from fct.core.errors import FctError
from fct.data.fashion_mnist import FILES, published, read_idx


def idx(array):
    """An array of bytes in the IDX format."""
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4) for n in array.shape) + array.tobytes()


def test_idx_files_are_read_with_their_shape(tmp_path):
    """Images and labels come back as they were written."""
    for array in (np.arange(24, dtype=np.uint8).reshape(2, 4, 3), np.array([3, 1, 2], np.uint8)):
        path = tmp_path / "file.gz"
        path.write_bytes(gzip.compress(idx(array)))
        assert np.array_equal(read_idx(path), array)


@pytest.mark.parametrize(
    "content",
    [
        b"not gzip",
        gzip.compress(b""),
        gzip.compress(idx(np.zeros((2, 2), np.uint8)))[:-9],
        gzip.compress(idx(np.zeros((2, 2), np.uint8))[:-1]),
        gzip.compress(b"\0\0\x0d" + idx(np.zeros(4, np.uint8))[3:]),
    ],
    ids=["not-gzip", "empty", "cut-gzip", "cut-array", "floats"],
)
def test_a_broken_file_is_named(tmp_path, content):
    """A file that is not a gzipped IDX file of bytes is an error that names the file."""
    path = tmp_path / "train.gz"
    path.write_bytes(content)
    with pytest.raises(FctError, match=r"train\.gz"):
        read_idx(path)


def test_each_file_has_a_checksum_and_an_address():
    """The four files have addresses on the publisher's server, and different checksums."""
    assert [file.url for file in published("http://server")] == [f"http://server/{name}.gz" for name in FILES]
    assert len({file.md5 for file in published()} | {file.content_md5 for file in published()}) == 8
