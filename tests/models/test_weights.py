"""Weights are loaded from files, and weights of another architecture are an error."""

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
    """Work in an empty project."""
    monkeypatch.chdir(tmp_path)
    Path("weights").mkdir()


@pytest.fixture
def file():
    """Return a function that saves tensors as a file of weights."""

    def save(content, name="weights/some.pth"):
        torch.save(content, name)
        return Path(name)

    return save


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v3_small", "timm/convnext_atto", "timm/vit_tiny_patch16_224", "speednet"]
)
def test_weights_of_the_same_architecture_are_loaded(file, name):
    """All tensors of the file are in the network, and nothing stays untrained."""
    source, network = make(name), make(name, seed=1)
    assert load_pretrained(network, file(source.state_dict()), "own") == []
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in source.state_dict().items())


def test_other_classes_leave_the_last_layer_untrained(file):
    """All other weights are loaded, and the names of the untrained ones are returned. They start at zero."""
    source, network = make(classes=1000), make(seed=1)
    assert load_pretrained(network, file(source.state_dict()), "own") == ["fc.weight", "fc.bias"]
    assert not network.fc.weight.any()
    assert not network.fc.bias.any()
    assert torch.equal(network.layer4[1].conv2.weight, source.layer4[1].conv2.weight)


def test_a_distilled_network_has_two_last_layers(file):
    """Both stay untrained with other classes."""
    name = "timm/deit_tiny_distilled_patch16_224"
    heads = ["head.weight", "head.bias", "head_dist.weight", "head_dist.bias"]
    assert load_pretrained(make(name, seed=1), file(make(name, classes=1000).state_dict()), "own") == heads


def test_weights_under_other_names_are_taken_in_their_order(file, capsys):
    """Another implementation of the same layers: all fit but those of the classifier, and the user is told."""
    source, network = make(classes=1000), make(seed=1)
    renamed = {f"body.{number}": value for number, value in enumerate(source.state_dict().values())}
    assert load_pretrained(network, file(renamed), "own") == ["fc.weight", "fc.bias"]
    assert torch.equal(network.layer4[1].conv2.weight, source.layer4[1].conv2.weight)
    assert torch.equal(network.bn1.running_var, source.bn1.running_var)
    assert "assigned in order" in capsys.readouterr().out


def test_other_names_and_other_shapes_are_another_architecture(file):
    """The same number of weights is not enough."""
    renamed = {f"body.{number}": value for number, value in enumerate(make(classes=1000).state_dict().values())}
    renamed["body.0"] = torch.ones(64, 3, 5, 5)
    with pytest.raises(FctError, match=r"another architecture than the model"):
        load_pretrained(make(), file(renamed), "own")


def test_a_stem_for_small_images_stays_untrained(file):
    """The convolution of the small stem has another shape than that of the file."""
    assert load_pretrained(make(stem="small", seed=1), file(make().state_dict()), "small") == ["conv1.weight"]


def test_a_grey_image_network_takes_published_weights(file):
    """Published weights are loaded into the wrapped model, which has three channels."""
    network, source = make(channels=1, seed=1), make()
    assert load_pretrained(network, file(source.state_dict()), "own") == []
    assert torch.equal(network.model.conv1.weight, source.conv1.weight)


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("mobilenet_v3_small", "classifier.3"), ("convnext_tiny", "classifier.2"), ("vit_b_32", "heads.head"),
        ("squeezenet1_1", "classifier.1"), ("timm/convnext_atto", "head.fc"),
    ],
)  # fmt: skip
def test_the_last_layer_is_found_in_any_architecture(file, name, last):
    """The last layer is found under any name, linear or a convolution."""
    assert load_pretrained(make(name), file(make(name, classes=9).state_dict()), "own") == [
        f"{last}.weight",
        f"{last}.bias",
    ]


@pytest.mark.parametrize(("name", "tensor"), [("resnet18", "conv1.weight"), ("resnet18", "fc.weight")])
@pytest.mark.parametrize("shape", [(64, 1, 7, 7), (3, 77)])
def test_a_first_or_last_layer_of_another_shape_is_an_error(file, name, tensor, shape):
    """A wrong shape of an unchanged stem, or other inputs of the last layer, mean another architecture."""
    state = make(name).state_dict() | {tensor: torch.zeros(shape)}
    with pytest.raises(FctError, match=rf"another architecture than the model: {tensor} is \["):
        load_pretrained(make(name), file(state), "own")


def test_auxiliary_heads_are_ignored(file):
    """The published GoogLeNet has two auxiliary heads, and the backbone has none."""
    from torchvision import models

    published = models.googlenet(weights=None, init_weights=False)
    assert load_pretrained(make("googlenet"), file(published.state_dict()), "own") == ["fc.weight", "fc.bias"]


@pytest.mark.parametrize(("name", "channels"), [("resnet8", 3), ("mobilenet_v3_small", 1), ("mobilenet_v3_small", 3)])
def test_a_model_of_this_project_gives_its_backbones_weights(file, name, channels):
    """Blocks, normalisation and the wrapper for grey images are not loaded."""
    source, network = make(name, channels=channels), make(name, channels=channels, seed=1)
    whole = Network(source, mean=[0.5] * channels, std=[0.25] * channels, layers=[])
    assert load_pretrained(network, file({"description": "{}", "state": whole.state_dict()}), "own") == []
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in source.state_dict().items())


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_wrapped_weights_are_found(file, key):
    """Weights are found under a key of the file, and with the prefix of DataParallel."""
    source = {f"module.{name}": value for name, value in make().state_dict().items()}
    assert load_pretrained(make(seed=1), file({key: source, "epoch": 3}), "own") == []


def test_safetensors_are_loaded():
    """A file with the suffix .safetensors is read as safetensors."""
    from safetensors.torch import save_file

    source = make()
    save_file(source.state_dict(), "weights/some.safetensors")
    assert load_pretrained(make(seed=1), Path("weights/some.safetensors"), "own") == []


def test_safetensors_under_other_names_are_an_error():
    """They come by the alphabet: the vectors of a batch norm, which have one shape, would be taken for one another."""
    from safetensors.torch import save_file

    state = make("speednet").state_dict()
    modules = list(dict.fromkeys(name.rpartition(".")[0] for name in state))
    renamed = {f"{modules.index(name.rpartition('.')[0]):03}.{name.rpartition('.')[2]}": state[name] for name in state}
    save_file(renamed, "weights/some.safetensors")
    with pytest.raises(FctError, match=r"some\.safetensors has other names than the model: 0.* torch\.save"):
        load_pretrained(make("speednet", seed=1), Path("weights/some.safetensors"), "own")


def test_damaged_safetensors_are_an_error():
    """Arbitrary bytes are an FctError that names key and file."""
    Path("weights/some.safetensors").write_bytes(b"no weights")
    with pytest.raises(FctError, match=r"model\.weights: weights/some\.safetensors cannot be read"):
        load_pretrained(make(), Path("weights/some.safetensors"), "own")


def test_another_architecture_is_an_error(file):
    """The error names the file and the first tensors that do not fit."""
    with pytest.raises(FctError, match=r"model\.weights: weights/some\.pth is of another architecture .* and \d+ more"):
        load_pretrained(make("resnet34"), file(make().state_dict()), "own")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_an_error(file, value):
    """A training that failed leaves such a file. The error names the tensors."""
    state = make().state_dict()
    state["layer1.0.conv1.weight"][0, 0, 0, 0] = value
    with pytest.raises(FctError, match=r"model\.weights: .* that are not finite, in layer1\.0\.conv1\.weight\. "):
        load_pretrained(make(), file(state), "own")


@pytest.mark.parametrize("content", [b"", b"no weights", b"hello world", b"PK\x03\x04 half a file"])
def test_a_file_of_another_kind_is_an_error(content):
    """Arbitrary bytes are an FctError that names key and file."""
    Path("weights/some.pth").write_bytes(content)
    with pytest.raises(FctError, match=r"model\.weights: weights/some\.pth is not a file of weights"):
        load_pretrained(make(), Path("weights/some.pth"), "own")


def test_a_file_that_would_run_code_is_an_error(file):
    """A pickled object is an error, and is not created."""
    path = file({"conv1.weight": Path("x")})
    with pytest.raises(FctError, match="is not a file of weights"):
        load_pretrained(make(), path, "own")


@pytest.mark.parametrize(
    "content", [{"epoch": 3}, {1: torch.ones(2)}, {"description": "{}", "state": [1]}], ids=["values", "keys", "state"]
)
def test_a_file_without_weights_is_an_error(file, content):
    """Plain values, tensors without names, and a model.pt without weights are not a state dict."""
    with pytest.raises(FctError, match="holds no state dict"):
        load_pretrained(make(), file(content), "own")


def test_a_file_must_be_in_weights(file):
    """A file outside of weights/ is an error with the reason, and so is a missing file."""
    assert find_weights(str(file({})), "model.weights") == Path("weights/some.pth")
    file({}, "outside.pth")
    with pytest.raises(FctError, match=r"model\.weights: outside\.pth is not in weights/\. Put it there"):
        find_weights("outside.pth", "model.weights")
    with pytest.raises(FctError, match=r"model\.weights: weights/none\.pth is not here"):
        find_weights("weights/none.pth", "model.weights")


def test_a_link_into_dvcs_cache_is_accepted(file):
    """DVC can check files out as links. The path of the link decides, not its target."""
    Path("cache").mkdir()
    file({}, "cache/0123")
    Path("weights/linked.pth").symlink_to("../cache/0123")
    assert find_weights("weights/linked.pth", "model.weights") == Path("weights/linked.pth")
    with pytest.raises(FctError, match=r"is not in weights/"):
        find_weights("weights/../cache/0123", "model.weights")
