"""The round trip of tensors gives Pillow's pixels on any device, in any memory format, with or without numba."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from fct.jpeg import kernel, roundtrip
from fct.jpeg.tensors import DCT, _operator, by_tensors

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


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("leading", [(), (1,), (2, 3), (2, 1, 3)])
def test_images_have_any_leading_dimensions(drawn, leading, channels, device):
    """Each image of [..., C, H, W], in any memory format, is compressed as one of a batch, at its own quality."""
    count = int(np.prod(leading))
    batch = tensor(drawn("noise", count, 12, 9, channels))
    quality = torch.arange(10, 10 + 7 * count, 7)
    expected = roundtrip(batch, quality).view(*leading, channels, 12, 9)
    images = batch.view(expected.shape).to(device)
    for given in (images, images.movedim(-3, -1).contiguous().movedim(-1, -3)):
        for qualities in (quality.view(leading), quality.view(leading).numpy()):
            result = roundtrip(given, qualities)
            assert result.device.type == device
            assert torch.equal(result.cpu(), expected)
    assert torch.equal(roundtrip(images, 40).cpu(), roundtrip(batch, 40).view(expected.shape))


@pytest.mark.parametrize("leading", [(0,), (2, 0), (0, 2)])
def test_no_images_are_no_error(leading):
    """Where a leading dimension is 0, so is the result's."""
    nothing = torch.empty(*leading, 3, 8, 8, dtype=torch.uint8)
    assert roundtrip(nothing, 50).shape == nothing.shape
    assert roundtrip(nothing, torch.empty(leading, dtype=torch.int64)).shape == nothing.shape


def test_without_the_kernel_no_images_are_no_error():
    """Torch's operations take an empty batch, too."""
    nothing = torch.empty(0, 3, 8, 8, dtype=torch.uint8)
    assert by_tensors(nothing, torch.empty(0, dtype=torch.int64), "4:2:0").shape == nothing.shape


GOOD = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("images", "quality", "message"),
    [
        (GOOD.float(), 50, r"images are torch.float32; the round trip takes a uint8 tensor \[..., C, H, W\]"),
        (GOOD.numpy(), 50, "images are ndarray; the round trip takes a uint8 tensor"),
        (GOOD[:, :2], 50, r"images have shape \[2, 2, 8, 8\]; they are \[..., C, H, W\] with C 1 or 3"),
        (GOOD.permute(0, 2, 3, 1), 50, r"images have shape \[2, 8, 8, 3\]"),
        (GOOD[0, 0], 50, r"images have shape \[8, 8\]"),
        (GOOD[:, :, :0], 50, "H and W are 1 to 65,500"),
        (GOOD[0, :, :0], 50, "H and W are 1 to 65,500"),
        (GOOD, 0, "quality is 0; it is an integer from 1 to 100"),
        (GOOD, torch.tensor([50, 101]), "quality is 101; it is an integer from 1 to 100"),
        (GOOD, torch.tensor([50.0, 60.0]), "quality is of type float32"),
        (GOOD, torch.tensor([50, 60, 70]), r"quality has shape \[3\]; give one for all images, .* of shape \[2\]"),
        (GOOD[None], torch.tensor([50, 60]), r"quality has shape \[2\]; give one for all images, .* of shape \[1, 2\]"),
        (GOOD[0], torch.tensor([50]), r"quality has shape \[1\]; give one for all images\."),
        (GOOD[:0], 101, "quality is 101"),
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


@pytest.mark.parametrize("quality", [torch.tensor([10, 90]), torch.tensor(10)])
def test_the_operation_of_torch_compile_is_what_it_says(drawn, quality):
    """Torch's own checks pass: shape, strides and type of the result are those that the compiler expects."""
    images = tensor(drawn("noise", 2, 12, 9, 3))
    for given in (images, images.contiguous(memory_format=torch.channels_last)):
        torch.library.opcheck(_operator, (given, quality, "4:2:0"))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_code_gives_the_same(drawn, backend):
    """In one graph, pixels, memory format and errors are the same; other integers do not compile anew."""
    images = tensor(drawn("noise", 2, 12, 9, 3)).contiguous(memory_format=torch.channels_last)
    torch.compiler.reset()
    compiled = torch.compile(roundtrip, fullgraph=True, backend=backend)
    for quality in (30, 40, torch.tensor([10, 90]), np.array([10, 90])):
        result = compiled(images, quality)
        assert torch.equal(result, roundtrip(images, quality))
        assert result.is_contiguous(memory_format=torch.channels_last)
    with torch.compiler.set_stance("fail_on_recompile"):
        assert torch.equal(compiled(images, 50), roundtrip(images, 50))
        with pytest.raises(ValueError, match="quality is 101; it is an integer from 1 to 100"):
            compiled(images, 101)
    with pytest.raises(ValueError, match=r"images are torch\.float32"):
        compiled(images.float(), 50)
    torch.compiler.reset()


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
