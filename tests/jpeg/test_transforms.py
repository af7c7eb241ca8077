"""JPEG and RandomJPEG compress the images of a sample, leave all else alone, and say which qualities they drew."""

import copy
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.datasets import FakeData
from torchvision.transforms import v2

from fct import JPEG, RandomJPEG, roundtrip

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"))]
BACKENDS = ["eager", "aot_eager"]


@pytest.fixture
def compiled():
    """Return torch.compile, with nothing compiled before."""
    torch.compiler.reset()
    yield torch.compile
    torch.compiler.reset()


def noise(*shape):
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(quality=(1, 100), **changed):
    return RandomJPEG(quality, return_quality=True, **changed)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2", "4:4:4"])
def test_pixels_are_pillows_at_the_qualities_handed_out(by_pillow, subsampling, device):
    """Each image of a batch is what Pillow makes of it at the quality that is returned for it."""
    images = noise(6, 3, 19, 26)
    arrays = images.permute(0, 2, 3, 1).numpy()
    for jpeg in (drawn(subsampling=subsampling), JPEG(30, subsampling, return_quality=True)):
        compressed, quality = jpeg(images.to(device))
        assert compressed.device.type == device
        expected = by_pillow(arrays, quality.numpy(), subsampling)
        np.testing.assert_array_equal(compressed.permute(0, 2, 3, 1).cpu(), expected)
    assert quality.tolist() == [30] * 6


@pytest.mark.parametrize("shape", [(3, 8, 9), (1, 8, 9), (2, 3, 8, 9), (2, 4, 3, 8, 9), (0, 3, 8, 9), (2, 0, 3, 8, 9)])
def test_each_image_of_any_leading_dimensions_has_its_quality(shape):
    """The qualities have the shape of the leading dimensions, of a single image or of no images too."""
    images = noise(*shape)
    compressed, quality = drawn()(images)
    assert (compressed.shape, quality.shape, quality.dtype) == (images.shape, shape[:-3], torch.int64)
    assert torch.equal(compressed, roundtrip(images, quality))
    assert quality.numel() < 2 or len(quality.unique()) > 1


def test_a_batch_keeps_its_memory_format():
    """A channels-last batch stays channels-last."""
    images = noise(2, 3, 16, 12).contiguous(memory_format=torch.channels_last)
    assert JPEG(30)(images).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("kind", [tv_tensors.Image, tv_tensors.Video])
def test_tv_tensors_stay_what_they_are(kind):
    """An Image or a Video of torchvision stays one, with the pixels of a plain tensor; each frame has a quality."""
    images = noise(4, 3, 8, 8)
    compressed, quality = drawn()(kind(images))
    assert type(compressed) is kind
    assert torch.equal(compressed.as_subclass(torch.Tensor), roundtrip(images, quality))


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_pil_images_stay_pil_images(by_pillow, mode, channels):
    """A PIL image of mode L or RGB stays one, with the pixels of its own save and open."""
    pixels = noise(1, 17, 9, channels).numpy()
    compressed, quality = drawn()(Image.fromarray(pixels[0].squeeze()))
    assert (compressed.mode, compressed.size, quality.shape) == (mode, (9, 17), ())
    expected = by_pillow(pixels, quality.item(), "4:2:0")
    np.testing.assert_array_equal(np.asarray(compressed).reshape(expected[0].shape), expected[0])


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "CMYK", "I;16", "F"])
def test_other_pil_modes_are_an_error(mode):
    """An image that JPEG would change, or cannot hold, is refused with what to do."""
    with pytest.raises(ValueError, match=f"the image's mode is {mode}; convert it to RGB or L first"):
        JPEG(30)(Image.new(mode, (8, 8)))


def test_all_else_in_a_sample_passes_through():
    """Labels, boxes, masks and text of a nested sample are the same objects afterwards."""
    box = tv_tensors.BoundingBoxes([[0, 0, 4, 4]], format="XYXY", canvas_size=(8, 8))
    others = {"boxes": box, "mask": tv_tensors.Mask(noise(8, 8)), "label": torch.tensor(3), "path": "7.jpg", "no": None}
    sample = {"others": others, "image": tv_tensors.Image(noise(3, 8, 8))}
    result = JPEG(10)(sample)
    assert torch.equal(result["image"], roundtrip(noise(3, 8, 8), 10))
    assert torch.equal(sample["image"], noise(3, 8, 8))
    assert result["others"].keys() == others.keys()
    assert all(result["others"][name] is value for name, value in others.items())


def test_of_plain_tensors_the_first_is_the_image():
    """In (images, labels), given as one sample or as two arguments, the second tensor is no image."""
    images, labels = noise(2, 3, 8, 8), torch.arange(2)
    for result in (JPEG(10)((images, labels)), JPEG(10)(images, labels)):
        assert torch.equal(result[0], roundtrip(images, 10))
        assert result[1] is labels


def test_images_of_one_sample_share_their_qualities():
    """Two images in one sample are compressed alike, so that a pair still fits."""
    left, right = noise(2, 3, 8, 8), noise(2, 1, 6, 6)
    (first, second), quality = drawn()((tv_tensors.Image(left), tv_tensors.Image(right)))
    assert torch.equal(first, roundtrip(left, quality))
    assert torch.equal(second, roundtrip(right, quality))
    with pytest.raises(ValueError, match=r"batches of shapes \[2\] and \[\]; transform each by itself"):
        drawn()((tv_tensors.Image(left), tv_tensors.Image(right[0])))


def test_compose_carries_qualities_along():
    """Later transforms of torchvision change the image and leave the qualities alone."""
    composed = v2.Compose([v2.ToImage(), drawn(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5], [0.5])])
    (image, label), quality = composed(Image.fromarray(noise(8, 8).numpy()), 7)
    expected = roundtrip(noise(8, 8)[None], quality).float().div(255).sub(0.5).div(0.5)
    torch.testing.assert_close(image.as_subclass(torch.Tensor), expected)
    assert (label, quality.dtype) == (7, torch.int64)


def test_the_global_seed_decides_without_a_generator():
    """The same global seed draws the same qualities; the next draw is another."""
    torch.manual_seed(5)
    first, second = (drawn()(noise(8, 1, 2, 2))[1] for _ in range(2))
    torch.manual_seed(5)
    assert torch.equal(drawn()(noise(8, 1, 2, 2))[1], first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("device", DEVICES)
def test_a_generator_decides_alone(device):
    """A generator of any device draws the qualities, and torch's global one is not touched."""
    before = torch.get_rng_state()
    first, second = (drawn(generator=torch.Generator(device).manual_seed(5))(noise(8, 1, 2, 2)) for _ in range(2))
    assert torch.equal(first[1], second[1])
    assert torch.equal(first[0], second[0])
    assert torch.equal(torch.get_rng_state(), before)


def test_qualities_are_uniform_over_the_whole_range():
    """Each integer from the lowest to the highest is drawn equally often, within five standard deviations."""
    _, quality = drawn((10, 90), generator=seeded())(noise(40_500, 1, 1, 1))
    counts = quality.bincount(minlength=91)
    assert counts[:10].sum() == 0
    assert len(counts) == 91
    assert (counts[10:] - 500).abs().max() < 5 * 500**0.5


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda jpeg: pickle.loads(pickle.dumps(jpeg))], ids=["copy", "pickle"]
)
def test_a_copy_draws_what_the_original_would(copied):
    """A copy goes on from the generator's state, by itself."""
    jpeg = drawn(generator=seeded())
    jpeg(noise(5, 1, 2, 2))
    twin = copied(jpeg)
    assert twin.generator.initial_seed() == 0
    assert repr(twin) == repr(jpeg)
    expected = jpeg(noise(8, 1, 2, 2))[1]
    assert torch.equal(twin(noise(8, 1, 2, 2))[1], expected)


class Twice(Dataset):
    """Sixteen images, each compressed by torch's global generator and by one with a seed of its own."""

    def __init__(self):
        self.images = noise(16, 3, 8, 8)
        self.jpegs = drawn(), drawn(generator=seeded())

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return [jpeg(self.images[index]) for jpeg in self.jpegs]


def test_workers_and_epochs_differ_and_a_seed_repeats_them():
    """Two workers draw other qualities, in each epoch others, and the same under the same seed, with their images."""
    torch.manual_seed(5)
    loader = DataLoader(Twice(), batch_size=8, num_workers=2)
    epochs = [list(loader), list(loader)]
    torch.manual_seed(5)
    epochs.append(list(DataLoader(Twice(), batch_size=8, num_workers=2)))
    halves = noise(16, 3, 8, 8).chunk(2)  # of the first worker, of the second
    seen = []
    for way in range(2):
        first, second, again = ([batch[way][1].tolist() for batch in epoch] for epoch in epochs)
        assert first == again
        seen += [*first, *second]
        for half, (compressed, quality) in zip(halves, (batch[way] for batch in epochs[1]), strict=True):
            assert torch.equal(compressed, roundtrip(half, quality))
    assert len({tuple(qualities) for qualities in seen}) == 8  # not the global generator's twice, either


@pytest.mark.e2e
def test_a_spawned_worker_gets_the_generator():
    """A worker that shares no memory with its parent unpickles the transform and its generator."""
    jpeg = v2.Compose([v2.PILToTensor(), drawn(generator=seeded())])
    raw = [v2.functional.pil_to_tensor(image) for image, _ in FakeData(3, (3, 8, 8))]
    loader = DataLoader(FakeData(3, (3, 8, 8), transform=jpeg), 3, num_workers=1, multiprocessing_context="spawn")
    [((compressed, quality), _)] = list(loader)
    assert torch.equal(compressed, roundtrip(torch.stack(raw), quality))


@pytest.mark.parametrize("backend", BACKENDS)
def test_compiled_transforms_hand_out_their_qualities(compiled, backend):
    """In one graph, pixels are those of the qualities returned, and each call draws anew."""
    jpeg = compiled(drawn(), fullgraph=True, backend=backend)
    sample = {"image": noise(8, 3, 8, 8).contiguous(memory_format=torch.channels_last), "label": torch.arange(8)}
    (result, quality), (_, other) = jpeg(sample), jpeg(sample)
    assert torch.equal(result["image"], roundtrip(sample["image"], quality))
    assert result["image"].is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(result["label"], sample["label"])
    assert not torch.equal(quality, other)


def test_batches_of_many_sizes_do_not_compile_anew(compiled):
    """After the second size, a compiled transform takes every other one."""
    jpeg = compiled(v2.Compose([JPEG(30), v2.ToDtype(torch.float32)]), fullgraph=True, backend="eager")
    for count in (2, 3):
        jpeg(noise(count, 3, 8, 6 + count))
    with torch.compiler.set_stance("fail_on_recompile"):
        for count in range(4, 8):
            assert torch.equal(
                jpeg(noise(count, 3, 8, 6 + count)), roundtrip(noise(count, 3, 8, 6 + count), 30).float()
            )


def test_a_generator_breaks_the_compiled_graph(compiled):
    """Compiled code draws from the generator outside the graph; who wants one graph is told why there is none."""
    with pytest.raises(Exception, match=r"torch\.compile draws from no torch\.Generator; use the global one"):
        compiled(drawn(generator=seeded()), backend="eager", fullgraph=True)(noise(8, 1, 2, 2))
    expected = drawn(generator=seeded())(noise(8, 1, 2, 2))[1]
    assert torch.equal(compiled(drawn(generator=seeded()), backend="eager")(noise(8, 1, 2, 2))[1], expected)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (noise(3, 8, 8).float(), "images are torch.float32; .* compress images before scaling or normalising them"),
        (torch.full((3, 8, 8), torch.nan), "images are torch.float32"),
        (noise(3, 8, 8).long(), "images are torch.int64"),
        (tv_tensors.Image(noise(3, 8, 8).half()), "images are torch.float16"),
        (noise(2, 2, 8, 8), r"images have shape \[2, 2, 8, 8\]; they are \[..., C, H, W\] with C 1 or 3"),
        (noise(4, 8, 8), r"images have shape \[4, 8, 8\]"),
        (noise(8, 8, 3), r"images have shape \[8, 8, 3\]"),
        (noise(8, 8), r"images have shape \[8, 8\]"),
        (noise(8), r"images have shape \[8\]"),
        (noise(3, 0, 8), "H and W are 1 to 65,500"),
        (Image.new("L", (0, 0)), "H and W are 1 to 65,500"),
        (noise(3, 8, 8).to("meta"), "images are on the device meta"),
        ((torch.tensor(3), noise(3, 8, 8)), "torch.int64 and was taken for the image"),
        ({"mask": tv_tensors.Mask(noise(8, 8)), "label": 3}, "there is no image in the sample; give a uint8 tensor"),
        (noise(8, 8, 3).numpy(), "there is no image in the sample"),
        ([], "there is no image in the sample"),
    ],
)
def test_a_bad_image_is_an_error(sample, message):
    """What is no 8-bit image of one or three channels is refused, with what was given and what is expected."""
    with pytest.raises(ValueError, match=message):
        RandomJPEG()(sample)


@pytest.mark.parametrize("value", [0, 101, -1, True, 50.0, "50", None, np.float32(50), (10, 90)])
def test_a_bad_quality_is_an_error(value):
    """A quality is an integer from 1 to 100, alone and as a bound."""
    for make in (lambda: JPEG(value), lambda: RandomJPEG((value, 50)), lambda: RandomJPEG((50, value))):
        with pytest.raises(ValueError, match="; it is an integer from 1 to 100"):
            make()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"quality": (90, 10)}, ValueError, r"quality is \(90, 10\); the lowest comes first"),
        ({"quality": 50}, ValueError, r"quality is 50; it is the lowest and the highest.* For one quality use JPEG"),
        ({"quality": (10, 50, 90)}, ValueError, "it is the lowest and the highest"),
        ({"subsampling": "4:1:1"}, ValueError, "subsampling is '4:1:1'; it is one of 4:2:0, 4:2:2, 4:4:4"),
        ({"generator": 42}, TypeError, "generator is 42; it is a torch.Generator or None"),
    ],
)
def test_a_bad_argument_is_an_error(arguments, error, message):
    """Wrong arguments are refused where the transform is made, with the value and what is expected."""
    with pytest.raises(error, match=message):
        RandomJPEG(**arguments)


def test_a_transform_prints_as_it_is_made():
    """The text of a transform gives its arguments; numpy's integers have become Python's."""
    made = [JPEG(np.int64(30)), RandomJPEG([10, np.uint8(90)], "4:4:4", return_quality=True)]
    assert [eval(repr(jpeg)).__dict__ for jpeg in made] == [jpeg.__dict__ for jpeg in made]
    assert repr(made[1]) == "RandomJPEG(quality=(10, 90), subsampling='4:4:4', return_quality=True)"


def test_a_label_that_comes_first_is_not_taken_for_the_image():
    """The error says how to tell the image."""
    sample = {"label": torch.arange(4), "image": torch.zeros(4, 3, 8, 8, dtype=torch.uint8)}
    with pytest.raises(ValueError, match=r"first plain tensor of the sample is torch.int64 .* put the image first"):
        RandomJPEG()(sample)
