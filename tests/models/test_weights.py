"""Trainings start from a file's weights: all that fits is taken, another architecture is refused."""

from pathlib import Path

import pytest
import torch

from fct.core.errors import FctError
from fct.models import backbones
from fct.models.network import Network
from fct.models.weights import find_weights, load_pretrained


def make(name="resnet18", classes=3, channels=3, seed=0, **changed):
    torch.manual_seed(seed)
    return backbones.build_backbone(name, width=8, classes=classes, channels=channels, size=32, **changed)


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """Stand in an empty project."""
    monkeypatch.chdir(tmp_path)
    Path("weights").mkdir()


@pytest.fixture
def file():
    """Save tensors as a file of weights."""

    def save(content, name="weights/some.pth"):
        torch.save(content, name)
        return Path(name)

    return save


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v3_small", "timm/convnext_atto", "timm/vit_tiny_patch16_224", "speednet"]
)
def test_the_weights_of_the_same_architecture_are_taken(file, name):
    """Every tensor of the file is in the network then, and nothing stays untrained."""
    taught, network = make(name), make(name, seed=1)
    assert load_pretrained(network, file(taught.state_dict()), "own") == []
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in taught.state_dict().items())


def test_other_classes_leave_the_last_layer_untrained(file):
    """The rest is taken; the names of what stays are given back."""
    taught, network = make(classes=1000), make(seed=1)
    before = network.fc.weight.clone()
    assert load_pretrained(network, file(taught.state_dict()), "own") == ["fc.weight", "fc.bias"]
    assert torch.equal(network.fc.weight, before)
    assert torch.equal(network.layer4[1].conv2.weight, taught.layer4[1].conv2.weight)


def test_a_stem_for_small_images_stays_untrained(file):
    """The convolution that was swapped has another shape than the file's."""
    assert load_pretrained(make(stem="small", seed=1), file(make().state_dict()), "small") == ["conv1.weight"]


def test_a_grey_image_network_takes_published_weights(file):
    """They are of the model inside, which sees three channels."""
    network, taught = make(channels=1, seed=1), make()
    assert load_pretrained(network, file(taught.state_dict()), "own") == []
    assert torch.equal(network.model.conv1.weight, taught.conv1.weight)


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("mobilenet_v3_small", "classifier.3"), ("convnext_tiny", "classifier.2"), ("vit_b_32", "heads.head"),
        ("squeezenet1_1", "classifier.1"), ("timm/convnext_atto", "head.fc"),
    ],
)  # fmt: skip
def test_the_last_layer_is_found_in_any_architecture(file, name, last):
    """Wherever it lies, linear or a convolution."""
    assert load_pretrained(make(name), file(make(name, classes=9).state_dict()), "own") == [
        f"{last}.weight",
        f"{last}.bias",
    ]


@pytest.mark.parametrize(("name", "tensor"), [("resnet18", "conv1.weight"), ("resnet18", "fc.weight")])
@pytest.mark.parametrize("shape", [(64, 1, 7, 7), (3, 77)])
def test_first_and_last_layer_must_fit_otherwise(file, name, tensor, shape):
    """A stem that was not swapped, or a last layer of other inputs, is of another architecture."""
    state = make(name).state_dict() | {tensor: torch.zeros(shape)}
    with pytest.raises(FctError, match=rf"another architecture than model\.name: {tensor} is \["):
        load_pretrained(make(name), file(state), "own")


def test_auxiliary_heads_are_left_out(file):
    """The published GoogLeNet has two, which backbones are made without."""
    from torchvision import models

    published = models.googlenet(weights=None, init_weights=False)
    assert load_pretrained(make("googlenet"), file(published.state_dict()), "own") == ["fc.weight", "fc.bias"]


@pytest.mark.parametrize(("name", "channels"), [("resnet8", 3), ("mobilenet_v3_small", 1), ("mobilenet_v3_small", 3)])
def test_a_model_of_this_project_gives_its_backbones_weights(file, name, channels):
    """Blocks and normalisation stay behind, and the wrapper that shows grey images to torchvision's models."""
    taught, network = make(name, channels=channels), make(name, channels=channels, seed=1)
    whole = Network(taught, mean=[0.5] * channels, std=[0.25] * channels, layers=[])
    assert load_pretrained(network, file({"description": "{}", "state": whole.state_dict()}), "own") == []
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in taught.state_dict().items())


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_wrapped_weights_are_found(file, key):
    """Published files hold the weights under a key, and DataParallel's names have a prefix."""
    taught = {f"module.{name}": value for name, value in make().state_dict().items()}
    assert load_pretrained(make(seed=1), file({key: taught, "epoch": 3}), "own") == []


def test_safetensors_are_read():
    """Where the suffix says so."""
    from safetensors.torch import save_file

    taught = make()
    save_file(taught.state_dict(), "weights/some.safetensors")
    assert load_pretrained(make(seed=1), Path("weights/some.safetensors"), "own") == []


def test_damaged_safetensors_are_refused():
    """Whatever the bytes: a sentence, no traceback."""
    Path("weights/some.safetensors").write_bytes(b"no weights")
    with pytest.raises(FctError, match=r"model\.weights: weights/some\.safetensors cannot be read"):
        load_pretrained(make(), Path("weights/some.safetensors"), "own")


def test_another_architecture_is_refused(file):
    """The error names the file and the first tensors that do not fit."""
    with pytest.raises(FctError, match=r"model\.weights: weights/some\.pth is of another architecture .* and \d+ more"):
        load_pretrained(make("resnet34"), file(make().state_dict()), "own")


@pytest.mark.parametrize("content", [b"", b"no weights", b"hello world", b"PK\x03\x04 half a file"])
def test_a_file_of_something_else_is_refused(content):
    """Whatever the bytes: a sentence, no traceback."""
    Path("weights/some.pth").write_bytes(content)
    with pytest.raises(FctError, match=r"model\.weights: weights/some\.pth is not a file of weights"):
        load_pretrained(make(), Path("weights/some.pth"), "own")


def test_a_file_that_would_run_code_is_refused(file):
    """A pickled object is not built, whatever it is."""
    path = file({"conv1.weight": Path("x")})
    with pytest.raises(FctError, match="is not a file of weights"):
        load_pretrained(make(), path, "own")


@pytest.mark.parametrize(
    "content", [{"epoch": 3}, {1: torch.ones(2)}, {"description": "{}", "state": [1]}], ids=["values", "keys", "state"]
)
def test_a_file_without_weights_is_refused(file, content):
    """Plain values, tensors without names and a network of this project without any are no state dict."""
    with pytest.raises(FctError, match="holds no state dict"):
        load_pretrained(make(), file(content), "own")


def test_a_file_is_looked_for_in_weights_alone(file):
    """DVC watches that folder; another is refused with that reason, and so is a name with nothing behind it."""
    assert find_weights(str(file({})), "model.weights") == Path("weights/some.pth")
    file({}, "outside.pth")
    with pytest.raises(FctError, match=r"model\.weights: outside\.pth is not in weights/\. Put it there"):
        find_weights("outside.pth", "model.weights")
    with pytest.raises(FctError, match=r"model\.weights: weights/none\.pth is not here"):
        find_weights("weights/none.pth", "model.weights")


def test_a_link_into_dvcs_cache_is_taken(file):
    """DVC may be set to check files out as links: what counts is where the link lies."""
    Path("cache").mkdir()
    file({}, "cache/0123")
    Path("weights/linked.pth").symlink_to("../cache/0123")
    assert find_weights("weights/linked.pth", "model.weights") == Path("weights/linked.pth")
    with pytest.raises(FctError, match=r"is not in weights/"):
        find_weights("weights/../cache/0123", "model.weights")
