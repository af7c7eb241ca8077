"""The network returns features of layers, corrects them with blocks, and leaves its backbone unchanged."""

import copy

import pytest
import torch

from fct.core.errors import FctError
from fct.images.tables import UNKNOWN_QUALITY
from fct.models import backbones
from fct.models.network import Network
from fct.models.params import BlockParams

QUALITY = torch.tensor([30, 100])


def blocks(layers, **changed):
    params = {
        "layers": list(layers),
        "width": 0.5,
        "quality": "film",
        "consistency": "after",
        "unknown_quality": "bypass",
    }
    return BlockParams.model_validate(params | changed)


def make(name="resnet8", layers=("stage1", "stage3"), block=None, channels=3, size=32):
    torch.manual_seed(0)
    backbone = backbones.build_backbone(name, width=8, classes=3, channels=channels, size=size)
    statistics = {"mean": [0.25] * channels, "std": [0.5] * channels}
    return Network(backbone, **statistics, layers=layers, block=block, size=size).eval()


def image(channels=3, size=16):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (2, channels, size, size), dtype=torch.uint8, generator=generator)


def hooks(network):
    return [name for name, module in network.named_modules() if module._forward_hooks or module._forward_pre_hooks]


def test_pixels_are_normalised_by_channel():
    """(pixel / 255 - mean) / std, with each channel's own mean and deviation."""
    network = Network(
        backbones.build_backbone("resnet8", width=8, classes=3, channels=3, size=32),
        mean=[0.0, 0.5, 1.0], std=[1.0, 0.5, 0.25], layers=["stage1"],
    )  # fmt: skip
    pixel = torch.tensor([51, 255, 0], dtype=torch.uint8).view(1, 3, 1, 1)
    torch.testing.assert_close(network.normalised(pixel).flatten(), torch.tensor([0.2, 1.0, -4.0]))


def test_features_are_the_outputs_of_the_layers():
    """Without blocks the logits are the backbone's own, and each feature is its layer's output."""
    network = make()
    logits, features = network(image(), QUALITY)
    backbone = network.backbone
    x = network.normalised(image())
    stage1 = backbone.stage1(backbone.stem(x))
    assert torch.equal(logits, backbone(x))
    assert list(features) == ["stage1", "stage3"]
    assert torch.equal(features["stage1"], stage1)
    assert torch.equal(features["stage3"], backbone.stage3(backbone.stage2(stage1)))


@pytest.mark.parametrize(
    ("name", "layer"),
    [("resnet8", "stage1.0.norm1"), ("resnet8", "stem.1"), ("resnet18", "bn1"), ("resnet18", "layer1.0.bn2")],
)
def test_a_later_layer_that_works_in_place_does_not_change_a_feature(name, layer):
    """ReLUs and sums of ResNets work in place, but the returned feature is the output of its layer."""
    network = make(name, layers=[layer])
    outputs = []
    module = network.backbone.get_submodule(layer)
    handle = module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output.clone()))
    _, features = network(image(size=32), QUALITY)
    handle.remove()
    assert torch.equal(features[layer], outputs[0])


def test_blocks_correct_the_input_of_later_layers():
    """With a trained block, the feature is corrected, and the prediction depends on the quality."""
    network = make(block=blocks(["stage1", "stage3"]))
    plain = make()(image(), QUALITY)
    torch.testing.assert_close(network(image(), QUALITY), plain)  # untrained blocks do nothing
    torch.nn.init.normal_(network.blocks["stage1"].expand.weight)
    logits, features = network(image(), QUALITY)
    changed = [not torch.allclose(a, b) for a, b in zip(logits, plain[0], strict=True)]
    assert changed == [True, False]  # quality 30, quality 100
    assert not torch.allclose(features["stage3"][0], plain[1]["stage3"][0])
    assert torch.equal(features["stage1"], network.blocks["stage1"](plain[1]["stage1"], QUALITY))


def test_flip_tta_averages_the_logits_of_image_and_mirror_image():
    """At inference, logits are the mean of both, and features are the image's. Training has one pass."""
    network = make(block=blocks(["stage1", "stage3"]))
    torch.nn.init.normal_(network.blocks["stage1"].expand.weight)
    logits, features = network(image(), QUALITY)
    mirrored_logits, _ = network(image().flip(3), QUALITY)
    network.flip_tta = True
    mean_logits, tta_features = network(image(), QUALITY)
    torch.testing.assert_close(mean_logits, (logits + mirrored_logits) / 2)
    assert torch.equal(tta_features["stage3"], features["stage3"])
    statistics = network.train().backbone.stem[1].num_batches_tracked
    before = int(statistics)
    network(image(), QUALITY)
    assert int(statistics) == before + 1


def test_an_unknown_quality_is_estimated():
    """The estimator replaces `UNKNOWN_QUALITY`, but not in training."""
    network = make(block=blocks(["stage1"]))
    torch.nn.init.normal_(network.blocks["stage1"].expand.weight)
    bypassed = network(image(), torch.tensor([100, UNKNOWN_QUALITY]))[0]
    at_forty = network(image(), torch.tensor([40, 40]))[0]
    network.estimator = lambda pixels: torch.full((len(pixels),), 40.0)
    torch.testing.assert_close(network(image(), torch.tensor([UNKNOWN_QUALITY, 40]))[0], at_forty)
    network.train()
    network.backbone.eval()  # keeps the batch statistics out of the comparison
    torch.testing.assert_close(network(image(), torch.tensor([UNKNOWN_QUALITY, 100]))[0], bypassed)


def test_only_blocks_use_the_quality():
    """`uses_quality` says whether the prediction can depend on the quality."""
    assert make(block=blocks(["stage1", "stage3"])).uses_quality
    assert not make().uses_quality


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "resnet18"])
@pytest.mark.parametrize("channels", [1, 3])
def test_torchvision_models_can_have_blocks(name, channels):
    """Blocks work at layers with dots in their names, for grey and colour images of 32 pixels."""
    prefix = "" if channels == 3 else "model."
    layer = prefix + {"mobilenet_v3_small": "features.3", "resnet18": "layer2.0"}[name]
    network = make(name, layers=[layer], block=blocks([layer]), channels=channels)
    logits, features = network(image(channels, 32), QUALITY)
    assert logits.shape == (2, 3)
    assert features[layer].ndim == 4
    network.load_state_dict(copy.deepcopy(network.state_dict()))


def test_an_unknown_layer_names_the_nearest():
    """The error for a misspelt layer has the key of params.yaml and the nearest layers."""
    with pytest.raises(FctError, match=r"params\.yaml.*: method\.layers: no layer is called 'stag3'\. Nearest: stage3"):
        make(layers=["stage1", "stag3"])
    with pytest.raises(FctError, match=r"params\.yaml.*: features\.layers: no layer is called 'stag3'"):
        make().watch(["stag3"], key="features.layers")


def test_blocks_need_maps_or_tokens():
    """A layer whose feature is a vector can be used by the method, but cannot have a block."""
    assert make(layers=["head"])(image(), QUALITY)[1]["head"].shape == (2, 3)
    with pytest.raises(FctError, match=r"'head' returns a feature of shape \[1, 3\]. .* needs a map \[B, C, H, W\]"):
        make(block=blocks(["head"]))


def test_making_blocks_does_not_change_the_backbone():
    """Making blocks passes an image through the backbone, whose statistics, mode and hooks do not change."""
    torch.manual_seed(0)
    backbone = backbones.build_backbone("resnet8", width=8, classes=3, channels=3, size=32).train()
    before = copy.deepcopy(backbone.state_dict())
    Network(backbone, mean=[0.0] * 3, std=[1.0] * 3, layers=["stage1"], block=blocks(["stage1"]))
    assert backbone.training
    assert hooks(backbone) == []
    assert all(torch.equal(before[name], value) for name, value in backbone.state_dict().items())


def test_no_hook_stays_after_a_call():
    """The network has no hooks after a call, even after a failed one."""
    network = make(block=blocks(["stage1", "stage3"]))
    network(image(), QUALITY)
    assert hooks(network) == []
    with pytest.raises(RuntimeError):
        network(image(channels=2), QUALITY)
    with pytest.raises(ValueError, match="one quality for each image"):
        network(image(), torch.tensor([30, 30, 30]))  # fails in a block
    assert hooks(network) == []


def test_watch_adds_features_and_keeps_predictions():
    """Watched layers are added to the method's, each once, and the predictions do not change."""
    network = make(block=blocks(["stage1", "stage3"]))
    torch.nn.init.normal_(network.blocks["stage1"].expand.weight)
    before, _ = network(image(), QUALITY)
    network.watch(["stage2", "stage1"], key="features.layers")
    after, features = network(image(), QUALITY)
    assert torch.equal(before, after)
    assert list(features) == ["stage1", "stage2", "stage3"]


def test_features_can_be_those_before_their_block():
    """With `consistency: before` the feature is the layer's output. Later layers still get the corrected one."""
    after, before = (make(block=blocks(["stage1"], consistency=consistency)) for consistency in ("after", "before"))
    for network in (after, before):
        torch.nn.init.constant_(network.blocks["stage1"].expand.bias, 0.3)
    (logits, corrected), (before_logits, uncorrected) = after(image(), QUALITY), before(image(), QUALITY)
    assert torch.equal(logits, before_logits)
    assert torch.equal(uncorrected["stage1"], make()(image(), QUALITY)[1]["stage1"])
    assert not torch.allclose(uncorrected["stage1"][0], corrected["stage1"][0])


def test_blocks_are_at_their_own_layers():
    """The layers of blocks can be other layers than those of the features."""
    network = make(layers=["stage3"], block=blocks(["stem", "stage2"]))
    assert set(network.blocks) == {"stem", "stage2"}
    assert list(network(image(), QUALITY)[1]) == ["stage3"]
    with pytest.raises(FctError, match=r"method\.block\.layers: no layer is called 'stem1'\. Nearest: stem"):
        make(block=blocks(["stem1"]))


LAYOUTS = {
    "resnet18": ("layer2", 128),
    "mobilenet_v3_small": ("features.3", 24),
    "convnext_tiny": ("features.1", 96),
    "vit_b_16": ("encoder.layers.encoder_layer_3", 768),  # tokens
    "timm/vit_tiny_patch16_224": ("blocks.1", 192),  # tokens
    "swin_t": ("features.1", 96),  # a map with channels last
    "timm/convnext_atto": ("stages.1", 80),
}


@pytest.mark.parametrize(
    ("name", "quality"),
    [
        *((name, "film") for name in LAYOUTS),
        *((name, quality) for name in LAYOUTS if "timm" in name for quality in ("plane", "table")),
    ],
)
def test_blocks_work_on_tokens_and_maps_of_both_layouts(name, quality):
    """A block with weights changes features below quality 100, and all its weights get a gradient."""
    layer, channels = LAYOUTS[name]
    network = make(name, layers=[layer], block=blocks([layer], quality=quality))
    block = network.blocks[layer.replace(".", "/")]
    _, before = network(image(size=32), QUALITY)
    torch.nn.init.normal_(block.expand.weight)
    _, after = network(image(size=32), QUALITY)
    assert before[layer].shape[1] == channels
    assert [torch.equal(*pair) for pair in zip(before[layer], after[layer], strict=True)] == [False, True]
    after[layer].square().sum().backward()
    assert [name for name, weight in block.named_parameters() if not weight.grad.any()] == []


def test_watched_layers_must_have_features():
    """The error for a watched layer without a feature names its key, and the network does not change."""
    network = make("vit_b_32", layers=["encoder.layers.encoder_layer_3"])
    with pytest.raises(FctError, match=r"features\.layers: '.*self_attention' returns no tensor"):
        network.watch(["encoder.layers.encoder_layer_0.self_attention"], key="features.layers")
    assert network.layers == ("encoder.layers.encoder_layer_3",)


def test_a_lower_estimate_replaces_the_quality_of_the_tables():
    """An image that was compressed harder before its last compression gets the blocks that its artefacts need."""
    network = make(block=blocks(["stage1"]))
    torch.nn.init.normal_(network.blocks["stage1"].expand.weight)
    qualities = torch.arange(1, 101)
    images = image()[:1].expand(len(qualities), -1, -1, -1)
    expected = network(images, qualities.clamp(max=40))[0]
    network.estimator = lambda pixels: torch.full((len(pixels),), 40.0)
    torch.testing.assert_close(network(images, qualities)[0], expected)
