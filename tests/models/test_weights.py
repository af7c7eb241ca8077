"""Trainings start from a file's weights: all that fits is taken, another architecture is refused."""

from pathlib import Path

import pytest
import torch

from fct.core.errors import FctError
from fct.models import backbones
from fct.models.weights import locate, start_from


def make(name="resnet18", classes=3, channels=3, seed=0, **changed):
    torch.manual_seed(seed)
    return backbones.build(name, width=8, classes=classes, channels=channels, size=32, **changed)


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
    assert start_from(network, file(taught.state_dict())) == []
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in taught.state_dict().items())


def test_other_classes_leave_the_last_layer_untrained(file):
    """The rest is taken; the names of what stays are given back."""
    taught, network = make(classes=1000), make(seed=1)
    before = network.fc.weight.clone()
    assert start_from(network, file(taught.state_dict())) == ["fc.weight", "fc.bias"]
    assert torch.equal(network.fc.weight, before)
    assert torch.equal(network.layer4[1].conv2.weight, taught.layer4[1].conv2.weight)


def test_a_stem_for_small_images_stays_untrained(file):
    """The convolution that was swapped has another shape than the file's."""
    assert start_from(make(stem="small", seed=1), file(make().state_dict())) == ["conv1.weight"]


def test_a_grey_image_network_takes_published_weights(file):
    """They are of the model inside, which sees three channels."""
    network, taught = make(channels=1, seed=1), make()
    assert start_from(network, file(taught.state_dict())) == []
    assert torch.equal(network.model.conv1.weight, taught.conv1.weight)


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_wrapped_weights_are_found(file, key):
    """Published files hold the weights under a key, and DataParallel's names have a prefix."""
    taught = {f"module.{name}": value for name, value in make().state_dict().items()}
    assert start_from(make(seed=1), file({key: taught, "epoch": 3})) == []


def test_safetensors_are_read():
    """Where the suffix says so."""
    from safetensors.torch import save_file

    taught = make()
    save_file(taught.state_dict(), "weights/some.safetensors")
    assert start_from(make(seed=1), Path("weights/some.safetensors")) == []


def test_another_architecture_is_refused(file):
    """The error names the file and the first tensors that do not fit."""
    with pytest.raises(FctError, match=r"model\.weights: weights/some\.pth is of another architecture .* and \d+ more"):
        start_from(make("resnet34"), file(make().state_dict()))


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 half a file"])
def test_a_file_of_something_else_is_refused(content):
    """Whatever the bytes: a sentence, no traceback."""
    Path("weights/some.pth").write_bytes(content)
    with pytest.raises(FctError, match=r"model\.weights: weights/some\.pth is not a file of weights"):
        start_from(make(), Path("weights/some.pth"))


def test_a_file_that_would_run_code_is_refused(file):
    """A pickled object is not built, whatever it is."""
    path = file({"conv1.weight": Path("x")})
    with pytest.raises(FctError, match="is not a file of weights"):
        start_from(make(), path)


def test_a_file_without_weights_is_refused(file):
    """Plain values are no state dict."""
    with pytest.raises(FctError, match="holds no state dict"):
        start_from(make(), file({"epoch": 3}))


def test_a_file_is_looked_for_in_weights_alone(file):
    """DVC watches that folder; another is refused with that reason, and so is a name with nothing behind it."""
    assert locate(str(file({})), "model.weights") == Path("weights/some.pth")
    file({}, "outside.pth")
    with pytest.raises(FctError, match=r"model\.weights: outside\.pth is not in weights/\. Put it there"):
        locate("outside.pth", "model.weights")
    with pytest.raises(FctError, match=r"model\.weights: weights/none\.pth is not here"):
        locate("weights/none.pth", "model.weights")
