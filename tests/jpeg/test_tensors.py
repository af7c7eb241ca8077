"""The round trip of tensors: Pillow's pixels, whatever the memory format and the device, with numba or without."""

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
    """Qualities 1 to 100 in one batch, at sizes from 1 to 65, without the kernel."""
    quality = np.arange(1, 101)
    for height, width in [(33, 27), (1, 1), (2, 5), (5, 4), (65, 3), (16, 16), (17, 47), (9, 64)]:
        images = drawn(kind, 100, height, width, channels)
        found = by_tensors(tensor(images).to(device), torch.from_numpy(quality), subsampling)
        expected = by_pillow(images, quality, subsampling)
        np.testing.assert_array_equal(found.cpu(), tensor(expected), err_msg=str((height, width)))


@pytest.mark.parametrize("device", DEVICES)
def test_one_quality_is_for_all(by_pillow, drawn, device):
    """An int is every image's quality, through the public function."""
    images = drawn("gradient", 5, 32, 32, 3)
    found = roundtrip(tensor(images).to(device), 30)
    assert found.device.type == device
    np.testing.assert_array_equal(found.cpu(), tensor(by_pillow(images, 30, "4:2:0")))


@pytest.mark.parametrize("how", [roundtrip, lambda *a, subsampling: by_tensors(*a, subsampling)], ids=["cpu", "torch"])
@pytest.mark.parametrize("channels", [1, 3])
def test_memory_formats_change_no_pixel(drawn, how, channels):
    """Channels-last comes back as channels-last; other strides are read as they are."""
    plain = tensor(drawn("noise", 6, 20, 14, channels))
    quality = torch.tensor([1, 20, 40, 60, 80, 100])
    expected = how(plain, quality, subsampling="4:2:0")
    assert expected.is_contiguous()
    last = how(plain.contiguous(memory_format=torch.channels_last), quality, subsampling="4:2:0")
    assert last.is_contiguous(memory_format=torch.channels_last)
    wide = torch.zeros(12, channels, 20, 28, dtype=torch.uint8)
    wide[::2, :, :, ::2] = plain
    for each in (last, how(wide[::2, :, :, ::2], quality, subsampling="4:2:0")):
        assert torch.equal(each, expected)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_any_integer_is_a_quality(drawn, dtype):
    """Integer tensors of any width say the same."""
    images = tensor(drawn("noise", 2, 8, 8, 3))
    found = roundtrip(images, torch.tensor([10, 90], dtype=dtype))
    assert torch.equal(found, roundtrip(images, torch.tensor([10, 90])))


@pytest.mark.parametrize("quality", [np.int64(50), [50, 50], np.array([50, 50])])
def test_numpys_integers_are_qualities_too(drawn, quality):
    """What says one quality, or one for each, is understood."""
    images = tensor(drawn("noise", 2, 8, 8, 3))
    assert torch.equal(roundtrip(images, quality), roundtrip(images, 50))


def test_no_images_are_no_error():
    """An empty batch comes back as one."""
    nothing = torch.empty(0, 3, 8, 8, dtype=torch.uint8)
    assert roundtrip(nothing, 50).shape == nothing.shape
    assert by_tensors(nothing, torch.empty(0, dtype=torch.int64), "4:2:0").shape == nothing.shape


GOOD = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("images", "quality", "said"),
    [
        (GOOD.float(), 50, r"images are torch.float32; the round trip takes a uint8 tensor \[B, C, H, W\]"),
        (GOOD.numpy(), 50, "images are ndarray; the round trip takes a uint8 tensor"),
        (GOOD[:, :2], 50, r"images have shape \[2, 2, 8, 8\]; of \[N, C, H, W\], C is 1 or 3"),
        (GOOD[0], 50, r"images have shape \[3, 8, 8\]"),
        (GOOD[:, :, :0], 50, "H and W are 1 to 65,500"),
        (GOOD, 0, "quality 0 is not one"),
        (GOOD, torch.tensor([50, 101]), "quality 101 is not one"),
        (GOOD, torch.tensor([50.0, 60.0]), "quality is of type float32"),
        (GOOD, torch.tensor([50, 60, 70]), r"quality has shape \[3\]"),
        (GOOD, "50", "quality is of type <U2"),
        (GOOD, True, "quality is of type bool"),  # the bad input
        (GOOD.to("meta"), 50, "images are on the device meta, which holds no values"),
        (GOOD, torch.ones(2, dtype=torch.int64, device="meta"), "quality are on the device meta"),
    ],
)
def test_bad_input_is_refused(images, quality, said):
    """What is wrong with the images or the quality is said before anything is computed."""
    with pytest.raises(ValueError, match=said):
        roundtrip(images, quality)


def test_an_unknown_subsampling_is_refused():
    """So is a subsampling that is none."""
    with pytest.raises(ValueError, match="subsampling is '4:1:1'; it is one of 4:2:0, 4:2:2, 4:4:4"):
        roundtrip(GOOD, 50, subsampling="4:1:1")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_quality_on_another_device_is_fetched():
    """Images on the GPU and qualities on the CPU, and the other way round, give the pixels of the images' device."""
    quality = torch.tensor([10, 90])
    expected = roundtrip(GOOD, quality)
    assert torch.equal(roundtrip(GOOD.cuda(), quality).cpu(), expected)
    assert torch.equal(roundtrip(GOOD, quality.cuda()), expected)


def test_the_matrix_is_the_kernels_butterflies():
    """What torch multiplies by is what the kernel computes step by step: its response to each unit vector."""
    forward = kernel._forward.py_func
    responses = [forward(*(np.int32(2**13 * (k == j)) for k in range(8)), 13) for j in range(8)]
    np.testing.assert_array_equal(np.array(responses).T, DCT)


def test_without_numba_the_pixels_are_the_same_and_it_says_so_once(tmp_path):
    """Where numba is missing, torch computes the same, with one warning in all."""
    code = textwrap.dedent("""
        import sys, warnings
        sys.modules["numba"] = None  # as an interpreter without it
        import torch
        from fct.jpeg import roundtrip
        images = torch.randint(0, 256, (3, 3, 20, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = [roundtrip(images, 30) for _ in range(3)][-1]
        print(len(caught), caught[0].message)
        torch.save(found, "found.pt")
    """)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 fct.jpeg.roundtrip computes with torch's own operations")
    images = torch.randint(0, 256, (3, 3, 20, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.load(tmp_path / "found.pt", weights_only=True), roundtrip(images, 30))
