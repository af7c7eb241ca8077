"""The round trip of tensors gives Pillow's pixels on any device, in any memory format, with or without numba."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from fct.jpeg import kernel, roundtrip
from fct.jpeg.tensors import DCT, by_tensors

SUBSAMPLINGS = ["4:2:0", "4:2:2", "4:4:4"]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"))]


def tensor(images):
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("channels", [1, 3])
def test_torchs_own_operations_are_pillows(by_pillow, drawn, kind, channels, subsampling, device):
    """Without the kernel, pixels are equal for qualities 1 to 100 in one batch, at sizes from 1 to 65."""
    quality = np.arange(1, 101)
    for height, width in [(33, 27), (1, 1), (2, 5), (5, 4), (65, 3), (16, 16), (17, 47), (9, 64)]:
        images = drawn(kind, 100, height, width, channels)
        result = by_tensors(tensor(images).to(device), torch.from_numpy(quality), subsampling)
        expected = by_pillow(images, quality, subsampling)
        np.testing.assert_array_equal(result.cpu(), tensor(expected), err_msg=str((height, width)))


@pytest.mark.parametrize("device", DEVICES)
def test_one_quality_is_for_all(by_pillow, drawn, device):
    """A quality that is an int is the quality of all images."""
    images = drawn("gradient", 5, 32, 32, 3)
    result = roundtrip(tensor(images).to(device), 30)
    assert result.device.type == device
    np.testing.assert_array_equal(result.cpu(), tensor(by_pillow(images, 30, "4:2:0")))


@pytest.mark.parametrize("how", [roundtrip, lambda *a, subsampling: by_tensors(*a, subsampling)], ids=["cpu", "torch"])
@pytest.mark.parametrize("channels", [1, 3])
def test_memory_formats_change_no_pixel(drawn, how, channels):
    """Channels-last images give a channels-last result. Other strides are supported."""
    plain = tensor(drawn("noise", 6, 20, 14, channels))
    quality = torch.tensor([1, 20, 40, 60, 80, 100])
    expected = how(plain, quality, subsampling="4:2:0")
    assert expected.is_contiguous()
    last = how(plain.contiguous(memory_format=torch.channels_last), quality, subsampling="4:2:0")
    assert last.is_contiguous(memory_format=torch.channels_last)
    wide = torch.zeros(12, channels, 20, 28, dtype=torch.uint8)
    wide[::2, :, :, ::2] = plain
    for result in (last, how(wide[::2, :, :, ::2], quality, subsampling="4:2:0")):
        assert torch.equal(result, expected)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_any_integer_is_a_quality(drawn, dtype):
    """Integer tensors of any width give the same pixels."""
    images = tensor(drawn("noise", 2, 8, 8, 3))
    result = roundtrip(images, torch.tensor([10, 90], dtype=dtype))
    assert torch.equal(result, roundtrip(images, torch.tensor([10, 90])))


@pytest.mark.parametrize("quality", [np.int64(50), [50, 50], np.array([50, 50])])
def test_numpys_integers_are_qualities_too(drawn, quality):
    """A numpy integer or array of integers is accepted as quality."""
    images = tensor(drawn("noise", 2, 8, 8, 3))
    assert torch.equal(roundtrip(images, quality), roundtrip(images, 50))


def test_no_images_are_no_error():
    """An empty batch gives an empty batch."""
    nothing = torch.empty(0, 3, 8, 8, dtype=torch.uint8)
    assert roundtrip(nothing, 50).shape == nothing.shape
    assert by_tensors(nothing, torch.empty(0, dtype=torch.int64), "4:2:0").shape == nothing.shape


GOOD = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("images", "quality", "message"),
    [
        (GOOD.float(), 50, r"images are torch.float32; the round trip takes a uint8 tensor \[B, C, H, W\]"),
        (GOOD.numpy(), 50, "images are ndarray; the round trip takes a uint8 tensor"),
        (GOOD[:, :2], 50, r"images have shape \[2, 2, 8, 8\]; in \[N, C, H, W\], C is 1 or 3"),
        (GOOD[0], 50, r"images have shape \[3, 8, 8\]"),
        (GOOD[:, :, :0], 50, "H and W are 1 to 65,500"),
        (GOOD, 0, "quality is 0; it is an integer from 1 to 100"),
        (GOOD, torch.tensor([50, 101]), "quality is 101; it is an integer from 1 to 100"),
        (GOOD, torch.tensor([50.0, 60.0]), "quality is of type float32"),
        (GOOD, torch.tensor([50, 60, 70]), r"quality has shape \[3\]"),
        (GOOD, "50", "quality is of type <U2"),
        (GOOD, True, "quality is of type bool"),  # the bad input
        (GOOD.to("meta"), 50, "images are on the device meta, which has no values"),
        (GOOD, torch.ones(2, dtype=torch.int64, device="meta"), "quality are on the device meta"),
    ],
)
def test_bad_input_is_an_error(images, quality, message):
    """Wrong images or a wrong quality are an error with the value and the expected input."""
    with pytest.raises(ValueError, match=message):
        roundtrip(images, quality)


def test_an_unknown_subsampling_is_an_error():
    """The error for an unknown subsampling lists the known ones."""
    with pytest.raises(ValueError, match="subsampling is '4:1:1'; it is one of 4:2:0, 4:2:2, 4:4:4"):
        roundtrip(GOOD, 50, subsampling="4:1:1")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_images_and_quality_can_be_on_different_devices():
    """Images on the GPU and qualities on the CPU, or the reverse, give the same pixels on the images' device."""
    quality = torch.tensor([10, 90])
    expected = roundtrip(GOOD, quality)
    assert torch.equal(roundtrip(GOOD.cuda(), quality).cpu(), expected)
    assert torch.equal(roundtrip(GOOD, quality.cuda()), expected)


def test_the_matrix_is_the_kernels_butterflies():
    """Each column of torch's matrix is the kernel's response to a unit vector."""
    forward = kernel._forward.py_func
    responses = [forward(*(np.int32(2**13 * (k == j)) for k in range(8)), 13) for j in range(8)]
    np.testing.assert_array_equal(np.array(responses).T, DCT)


def test_without_numba_the_pixels_are_the_same_with_one_warning(tmp_path):
    """If numba is missing, torch computes the same pixels, and warns once."""
    code = textwrap.dedent("""
        import sys, warnings
        sys.modules["numba"] = None  # as an interpreter without it
        import torch
        from fct.jpeg import roundtrip
        images = torch.randint(0, 256, (3, 3, 20, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = [roundtrip(images, 30) for _ in range(3)][-1]
        print(len(caught), caught[0].message)
        torch.save(result, "result.pt")
    """)
    process = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith("1 fct.jpeg.roundtrip uses torch's operations")
    images = torch.randint(0, 256, (3, 3, 20, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.load(tmp_path / "result.pt", weights_only=True), roundtrip(images, 30))
